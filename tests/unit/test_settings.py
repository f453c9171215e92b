"""Settings: defaults, places, and errors that name the setting and never its value."""

import stat
from pathlib import Path

import pytest

from warehouse.errors import SettingsError, WarehouseError
from warehouse.secret_file import personal_data_key
from warehouse.settings import Settings, WarehousePaths

NAMES = [name.upper() for name in Settings.model_fields]


@pytest.fixture(autouse=True)
def _bare_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` and no variable of the machine reaches a test."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_everything_has_a_default_that_works(tmp_path: Path) -> None:
    """Commands that need no portal must run with nothing configured."""
    settings = Settings()
    assert settings.bitrix24_webhook_url is None
    assert settings.marts_postgres_url is None
    assert settings.warehouse_path == tmp_path / "warehouse/data/bitrix24.duckdb"
    assert settings.inputs_path == tmp_path / "inputs"
    assert (settings.reporting_tz, settings.reporting_currency) == ("Europe/Moscow", None)
    assert (settings.personal_data, settings.personal_data_key) == ("hash", None)
    assert (settings.product_rows_per_run, settings.details_per_run) == (25_000, 10_000)
    assert settings.publish_shrink_guard == 0.2
    assert settings.cbr_url == "https://www.cbr.ru/scripts/"


def test_everything_of_a_warehouse_lies_beside_it_under_its_stem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two warehouses in one folder must share nothing."""
    monkeypatch.setenv("WAREHOUSE_PATH", "/srv/crm/north.duckdb")
    assert Settings().paths == WarehousePaths(
        warehouse=Path("/srv/crm/north.duckdb"),
        lock=Path("/srv/crm/north.lock"),
        dlt=Path("/srv/crm/north.dlt"),
        dbt=Path("/srv/crm/north.dbt"),
        dagster=Path("/srv/crm/north.dagster"),
        postgres=Path("/srv/crm/north.postgres"),
        personal_data_key=Path("/srv/crm/north.key"),
        superset=Path("/srv/crm/north.superset"),
    )


def test_env_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A one-off variable on the command line must override the file."""
    (tmp_path / ".env").write_text("REPORTING_TZ=Asia/Omsk\nREPORTING_CURRENCY=kzt\nREPORTING_CURRENCY_NOTE=x\n")
    monkeypatch.setenv("REPORTING_TZ", "Asia/Yekaterinburg")
    settings = Settings()
    assert (settings.reporting_tz, settings.reporting_currency) == ("Asia/Yekaterinburg", "KZT")
    assert str(settings.zone) == "Asia/Yekaterinburg"


def test_empty_settings_mean_unset(tmp_path: Path) -> None:
    """`.env.example`, copied as it is, has empty lines for what is optional."""
    (tmp_path / ".env").write_text("MARTS_POSTGRES_URL=\nREPORTING_CURRENCY=\nBITRIX24_WEBHOOK_URL=\n")
    settings = Settings()
    assert settings.marts_postgres_url is None
    assert settings.reporting_currency is None
    assert settings.bitrix24_webhook_url is None


def test_the_old_code_of_the_rouble_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old portals still say RUR."""
    monkeypatch.setenv("REPORTING_CURRENCY", "RUR")
    assert Settings().reporting_currency == "RUB"


@pytest.mark.parametrize(
    ("text", "address"),
    [("off", None), (" OFF ", None), ("http://127.0.0.1:8024/cbr", "http://127.0.0.1:8024/cbr/")],
)
def test_the_bank_can_be_elsewhere_or_nowhere(monkeypatch: pytest.MonkeyPatch, text: str, address: str | None) -> None:
    """A closed network has a copy of the bank's rates, or none."""
    monkeypatch.setenv("CBR_URL", text)
    assert Settings().cbr_url == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CBR_URL", "www.cbr.ru-7c1"),
        ("CBR_URL", "https://user:7c1@www.cbr.ru/scripts/"),
        ("REPORTING_TZ", "Europe/Nowhere-7c1"),
        ("REPORTING_TZ", "../../etc/passwd-7c1"),
        ("REPORTING_CURRENCY", "rubles-7c1"),
        ("BITRIX24_LIMIT_SHARE", "a lot-7c1"),
        ("BITRIX24_LIMIT_SHARE", "1.5000071"),
        ("PRODUCT_ROWS_PER_RUN", "-71"),
        ("DETAILS_PER_RUN", "-72"),
        ("PUBLISH_SHRINK_GUARD", "20.71"),
        ("MARTS_POSTGRES_URL", "mysql://bi:s3cret-7c1@db/marts"),
        ("MARTS_POSTGRES_URL", "postgresql://bi:s3cret-7c1@[::1/marts"),
        ("MARTS_POSTGRES_URL", "postgresql://bi:s3cret-7c1@db"),
        ("PERSONAL_DATA", "hush-7c1"),
        ("PERSONAL_DATA_KEY", "short-7c1"),
        ("WAREHOUSE_PATH", "/srv/7c1/marts.duckdb"),
        ("WAREHOUSE_PATH", "/srv/7c1/north.lock"),
        ("WAREHOUSE_MEMORY", "lots-7c1"),
        ("WAREHOUSE_MEMORY", "71MB"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values may hold passwords; pydantic quotes them unless it is stopped."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings()
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} must ")
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert value not in repr(caught.value)
    assert "7c1" not in sentence
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_each_wrong_setting_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Correcting settings one run at a time is a nuisance."""
    monkeypatch.setenv("REPORTING_TZ", "Mars")
    monkeypatch.setenv("REPORTING_CURRENCY", "1")
    monkeypatch.setenv("PUBLISH_SHRINK_GUARD", "x")
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "REPORTING_TZ",
        "REPORTING_CURRENCY",
        "PUBLISH_SHRINK_GUARD",
    ]


def test_an_env_file_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    """A `.env` saved by an old Windows editor."""
    (tmp_path / ".env").write_bytes("REPORTING_TZ=Europe/Moscow # Москва".encode("cp1251"))
    with pytest.raises(SettingsError, match=r"^\.env cannot be read"):
        Settings()


def test_secrets_stay_out_of_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings end up in logs and in debuggers."""
    monkeypatch.setenv("BITRIX24_WEBHOOK_URL", "https://north.bitrix24.ru/rest/1/s3cret7c1/")
    monkeypatch.setenv("MARTS_POSTGRES_URL", "postgresql://bi:s3cret7c1@db/marts")
    monkeypatch.setenv("PERSONAL_DATA_KEY", "a long s3cret7c1 key")
    settings = Settings()
    assert "s3cret7c1" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert settings.bitrix24_webhook_url is not None
    assert settings.bitrix24_webhook_url.get_secret_value().endswith("/s3cret7c1/")


def test_the_mode_of_personal_data_is_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """`PERSONAL_DATA=Drop` must not stop a run, let alone keep anything."""
    monkeypatch.setenv("PERSONAL_DATA", " Drop ")
    assert Settings().personal_data == "drop"


def test_the_key_of_hashes_is_made_once_and_is_its_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A second key would break the joins of all earlier rows; a file open to others gives every phone away."""
    settings = Settings(warehouse_path=tmp_path / "new" / "north.duckdb")
    file = settings.paths.personal_data_key
    key = personal_data_key(settings)
    assert key == personal_data_key(settings)
    assert len(key) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["north.key"]
    assert key.decode() not in caplog.text

    file.chmod(0o644)
    personal_data_key(settings)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    # moved into the environment, it stays the same key; another one there wins
    monkeypatch.setenv("PERSONAL_DATA_KEY", f" {file.read_text()}")
    assert personal_data_key(Settings(warehouse_path=tmp_path / "south.duckdb")) == key
    assert not (tmp_path / "south.key").exists()
    monkeypatch.setenv("PERSONAL_DATA_KEY", "another key, just as long")
    assert personal_data_key(Settings(warehouse_path=settings.warehouse_path)) == b"another key, just as long"


@pytest.mark.parametrize("content", ["", "\n", "s3cret7c1"])
def test_a_damaged_key_of_hashes_is_told(tmp_path: Path, content: str) -> None:
    """A new key in its place, unasked, would break joins without a word."""
    settings = Settings(warehouse_path=tmp_path / "north.duckdb")
    settings.paths.personal_data_key.write_text(content)
    with pytest.raises(WarehouseError, match=r"north\.key is damaged") as caught:
        personal_data_key(settings)
    assert "s3cret7c1" not in str(caught.value)


def test_a_key_of_hashes_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """The errors of the system say nothing of what to do."""
    settings = Settings(warehouse_path=tmp_path / "north.duckdb")
    settings.paths.personal_data_key.mkdir()
    with pytest.raises(WarehouseError, match="cannot be used by this user"):
        personal_data_key(settings)
