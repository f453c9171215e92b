"""Settings of the dashboards' Superset; its own Python reads them when it starts. server.py writes the files."""

import json
import os
from pathlib import Path
from typing import Any

from babel.numbers import get_currency_symbol
from cachetools.func import ttl_cache
from superset.security import SupersetSecurityManager
from superset.utils.log import AbstractEventLogger

_FOLDER = Path(os.environ["SUPERSET_HOME"])
_CREDENTIALS = json.loads((_FOLDER / "credentials.json").read_text())

SECRET_KEY = _CREDENTIALS["secret_key"]
SQLALCHEMY_DATABASE_URI = _CREDENTIALS["metadata_url"]
SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 2}  # threads: 2


class NoEvents(AbstractEventLogger):  # type: ignore[misc]  # mypy does not see Superset
    """Superset's own would write and commit five rows for each chart that somebody looks at."""

    def log(self, *_: Any, **__: Any) -> None:
        """Forget it."""


EVENT_LOGGER = NoEvents()


class SecurityManager(SupersetSecurityManager):  # type: ignore[misc]
    """Superset's own would ask at every request what people who are not logged in may do: a sixth of a chart's cost."""

    @ttl_cache(maxsize=1000, ttl=60)  # type: ignore[untyped-decorator]
    def is_item_public(self, permission_name: str, view_name: str) -> bool:
        """Ask again after a minute at the earliest."""
        return bool(super().is_item_public(permission_name, view_name))


CUSTOM_SECURITY_MANAGER = SecurityManager

# Russian first; numbers as 1 234,5 and dates as 31.12.2026
BABEL_DEFAULT_LOCALE = "ru"
LANGUAGES = {"ru": {"flag": "ru", "name": "Русский"}, "en": {"flag": "us", "name": "English"}}
D3_FORMAT = {"decimal": ",", "thousands": "\u00a0", "grouping": [3], "currency": ["", ""]}
D3_TIME_FORMAT = {
    "dateTime": "%d.%m.%Y %H:%M:%S",
    "date": "%d.%m.%Y",
    "time": "%H:%M:%S",
    "periods": ["", ""],
    "days": ["воскресенье", "понедельник", "вторник", "среда", "четверг", "пятница", "суббота"],
    "shortDays": ["вс", "пн", "вт", "ср", "чт", "пт", "сб"],
    "months": [
        "январь", "февраль", "март", "апрель", "май", "июнь",
        "июль", "август", "сентябрь", "октябрь", "ноябрь", "декабрь",
    ],
    "shortMonths": ["янв", "фев", "мар", "апр", "май", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"],
}  # fmt: skip


def COMMON_BOOTSTRAP_OVERRIDES_FUNC(_: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Superset's name for it
    """Give money the sign of the reports' currency, whose code provision.py wrote."""
    file = _FOLDER / "currency"
    sign = get_currency_symbol(file.read_text(), locale="ru") if file.exists() else ""
    return {"d3_format": D3_FORMAT | {"currency": ["", f"\u00a0{sign}" if sign else ""]}}


# light, for the dark labels in a funnel have a white edge
EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "b24Funnel",
        "label": "Воронка",
        "description": "",
        "isDefault": False,
        "colors": ["#CFE4FA", "#BCD9F7", "#A9CEF4", "#C5ECDF", "#B3E3D2", "#A1DAC5", "#F9E5B8", "#F6D999"],
    }
]


def SQL_QUERY_MUTATOR(sql: str, **_: Any) -> str:  # noqa: N802 - Superset's name for it
    """Name in Russian the series in which a chart gathers all but the largest ones."""
    return sql.replace("ELSE 'Others'", "ELSE 'Остальные'")


CURRENCIES = ["RUB", "USD", "EUR", "CNY", "KZT", "BYN"]
APP_NAME = "Аналитика Битрикс24"
LOGO_TARGET_PATH = "/dashboard/list/"

# a publish is seen after a minute at the latest; within it fifty viewers cost PostgreSQL as much as one
DATA_SECONDS = 60


def _cache(name: str, seconds: int) -> dict[str, Any]:
    """On disk: the cache in memory is not safe for threads that prune it at once."""
    return {
        "CACHE_TYPE": "FileSystemCache",
        "CACHE_DIR": str(_FOLDER / "cache" / name),
        "CACHE_DEFAULT_TIMEOUT": seconds,
        "CACHE_THRESHOLD": 2000,
    }


CACHE_CONFIG = _cache("metadata", 300)
DATA_CACHE_CONFIG = _cache("data", DATA_SECONDS)

ROW_LIMIT = 10_000
SAMPLES_ROW_LIMIT = 1000
NATIVE_FILTER_DEFAULT_ROW_LIMIT = 1000
SQL_MAX_ROW = 100_000
DISPLAY_MAX_ROW = 10_000
SUPERSET_WEBSERVER_TIMEOUT = 60
SQLLAB_TIMEOUT = 60

# nothing is fetched from, or told to, anybody: the page may load from this server alone
CONTENT_SECURITY_POLICY_WARNING = False
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "font-src": ["'self'", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "script-src": ["'self'", "'strict-dynamic'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,  # on 127.0.0.1 alone
    "session_cookie_secure": False,
}
DATASET_IMPORT_ALLOWED_DATA_URLS: list[str] = []
RATELIMIT_ENABLED = False  # it has one viewer's address for all: the proxy's or the loopback's


def FLASK_APP_MUTATOR(_: Any) -> None:  # noqa: N802 - Superset's name for it
    """Ask for the default schema once: 6.1 connects to the marts for it at every chart, even at one of the cache."""
    from superset.db_engine_specs.postgres import PostgresEngineSpec

    asked = PostgresEngineSpec.get_default_schema
    known: dict[tuple[str, str | None], str | None] = {}

    def get_default_schema(database: Any, catalog: str | None) -> str | None:
        key = (database.sqlalchemy_uri, catalog)
        if key not in known:
            known[key] = asked(database, catalog)
        return known[key]

    PostgresEngineSpec.get_default_schema = staticmethod(get_default_schema)
