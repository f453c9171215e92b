"""Settings from the environment or from `.env` in the current folder, and the places that follow from them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from warehouse.errors import SettingsError

# DuckDB names an attached file by its stem: a stem equal to a schema makes `schema.table` ambiguous
SCHEMAS = (
    "raw_bitrix24", "raw_files", "raw_cbr", "ops", "staging", "intermediate", "core", "marts", "snapshots", "main",
)  # fmt: skip
BESIDE_SUFFIXES = (".lock", ".dlt", ".dbt", ".dagster", ".postgres", ".key", ".superset")
KEY_LENGTH = 16  # characters; a shorter key can be guessed from the hash of one known phone


@dataclass(frozen=True)
class WarehousePaths:
    """Everything of one warehouse, beside its DuckDB file and named by its stem; all absolute."""

    warehouse: Path
    lock: Path
    dlt: Path
    dbt: Path
    dagster: Path
    postgres: Path
    personal_data_key: Path
    superset: Path

    @classmethod
    def of(cls, warehouse: Path) -> "WarehousePaths":
        """Places of a warehouse: `a/b.duckdb` has `a/b.lock`, `a/b.postgres`, `a/b.key`, ..."""
        file = warehouse.expanduser().absolute()
        return cls(file, *(file.with_suffix(suffix) for suffix in BESIDE_SUFFIXES))


def _check_warehouse_file(path: Path) -> Path:
    file = path.expanduser().absolute()
    if file.stem.lower() in SCHEMAS or file.suffix in BESIDE_SUFFIXES or file.is_dir():
        raise ValueError
    return file


def _check_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError
    return name


def _check_currency(code: str) -> str:
    code = code.strip().upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise ValueError
    return "RUB" if code == "RUR" else code  # the code before 1998, which portals still know


def _check_bank_url(url: Any) -> str | None:
    address = str(url or "off").strip()
    if address.lower() == "off":
        return None
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", address):
        raise ValueError
    return f"{address.rstrip('/')}/"


def _check_postgres_url(url: SecretStr) -> SecretStr:
    value = url.get_secret_value().strip()
    try:
        if not value.startswith(("postgresql://", "postgres://")) or "dbname" not in conninfo_to_dict(value):
            raise ValueError
    except ProgrammingError:  # its text quotes the URL
        raise ValueError from None
    return SecretStr(value)


def _check_key(key: SecretStr) -> SecretStr:
    value = key.get_secret_value().strip()
    if len(value) < KEY_LENGTH:
        raise ValueError
    return SecretStr(value)


def _strip(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


class Settings(BaseSettings):
    """All settings of the product. Each description completes the sentence "NAME ..." of an error message.

    Raises:
        SettingsError: one sentence per wrong setting; it holds no value, since values may be secret.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    bitrix24_webhook_url: Annotated[SecretStr | None, BeforeValidator(_strip)] = Field(
        None,
        description="must be the portal's incoming webhook, https://<portal>/rest/<user>/<code>/, or several of one "
        "portal with blanks between them.",
    )
    warehouse_path: Annotated[Path, AfterValidator(_check_warehouse_file)] = Field(
        Path("warehouse/data/bitrix24.duckdb"),
        validate_default=True,
        description="must name a file such as warehouse/data/bitrix24.duckdb, not a folder, and not be called like "
        f"one of the schemas ({', '.join(SCHEMAS)}).",
    )
    warehouse_memory: ByteSize | None = Field(
        None,
        ge=10**9,
        description="must be an amount of memory of 1GB or more, such as 8GB; left out, it is half of the "
        "machine's, at least 4 GB.",
    )
    marts_postgres_url: Annotated[SecretStr | None, AfterValidator(lambda v: v and _check_postgres_url(v))] = Field(
        None,
        description="must be a PostgreSQL URL with a database, such as "
        "postgresql://user:password@host:5432/marts?sslmode=require.",
    )
    inputs_path: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Field(
        Path("inputs"), validate_default=True, description="must name the folder of the input files."
    )
    rules_path: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Field(
        Path("rules.yml"), validate_default=True, description="must name the file with the rules of the numbers."
    )
    reporting_tz: Annotated[str, BeforeValidator(_strip), AfterValidator(_check_time_zone)] = Field(
        "Europe/Moscow", description="must be an IANA time zone such as Europe/Moscow or Asia/Yekaterinburg."
    )
    reporting_currency: Annotated[str | None, AfterValidator(lambda v: v and _check_currency(v))] = Field(
        None,
        description="must be a three-letter currency code such as RUB; left out, it is the portal's base currency.",
    )
    cbr_url: Annotated[str | None, BeforeValidator(_check_bank_url)] = Field(
        "https://www.cbr.ru/scripts/",
        description="must be the address of the bank's scripts, such as https://www.cbr.ru/scripts/, or off.",
    )
    personal_data: Annotated[
        Literal["keep", "hash", "drop"], BeforeValidator(lambda v: v.strip().lower() if isinstance(v, str) else v)
    ] = Field("hash", description="must be keep, hash or drop.")
    personal_data_key: Annotated[SecretStr | None, AfterValidator(lambda v: v and _check_key(v))] = Field(
        None,
        description=f"must have {KEY_LENGTH} characters or more; `openssl rand -hex 32` makes one. "
        "Left out, a file beside the warehouse keeps one.",
    )
    bitrix24_limit_share: float = Field(
        0.9, gt=0, le=1, description="must be a number above 0 and at most 1, for example 0.9."
    )
    sweep_days: int = Field(
        1, ge=0, description="must be a whole number of days between two searches for deletions, 0 for never."
    )
    sweep_days_by_table: dict[str, int] = Field(
        {}, description='must be JSON such as {"activities": 7, "tasks": 0}: days by raw table, 0 for never.'
    )
    sweep_guard_share: float = Field(
        0.1, ge=0, le=1, description="must be a share between 0 and 1, for example 0.1 for 10 %."
    )
    product_rows_per_run: int = Field(
        25_000, ge=0, description="must be a whole number of deals and others, 0 or more, for example 25000."
    )
    details_per_run: int = Field(
        10_000, ge=0, description="must be a whole number of owners per table, 0 or more, for example 10000."
    )
    publish_shrink_guard: float = Field(
        0.2, ge=0, le=1, description="must be a share between 0 and 1, for example 0.2 for 20 %."
    )

    def __init__(self, **values: Any) -> None:
        error: SettingsError | None = None
        try:
            super().__init__(**values)
        except ValidationError as invalid:
            error = SettingsError("\n".join(_sentences(invalid)))
        except (OSError, UnicodeDecodeError) as unreadable:
            error = SettingsError(
                f".env cannot be read ({type(unreadable).__name__}): make it readable text in UTF-8, or remove it."
            )
        if error:  # raised outside `except`, so that no traceback carries the values along
            raise error

    @property
    def paths(self) -> WarehousePaths:
        """Where the warehouse and everything beside it lies."""
        return WarehousePaths.of(self.warehouse_path)

    def sweep_days_of(self, table: str) -> int:
        """Days between two searches for deletions in a raw table; 0 for never."""
        return self.sweep_days_by_table.get(table, self.sweep_days)

    @property
    def zone(self) -> ZoneInfo:
        """The reporting time zone."""
        return ZoneInfo(self.reporting_tz)


def _sentences(invalid: ValidationError) -> list[str]:
    """One sentence per wrong setting, in the order of their declaration."""
    wrong = {str(problem["loc"][0]).lower() for problem in invalid.errors(include_input=False, include_context=False)}
    return [f"{name.upper()} {field.description}" for name, field in Settings.model_fields.items() if name in wrong]
