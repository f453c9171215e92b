"""Failures of the warehouse and of publishing; each message is one plain text with the next step, never a secret."""


class WarehouseError(Exception):
    """The warehouse cannot be used as it is; the message says what to do."""


class SettingsError(WarehouseError):
    """One or more settings are wrong: one sentence per setting, never its value."""


class WarehouseBusy(WarehouseError):  # noqa: N818 - a state, not a mistake
    """Another process uses the warehouse; try again when it has ended."""


class PortalMismatch(WarehouseError):  # noqa: N818
    """The warehouse, or the published marts, belong to another portal."""


class PostgresError(WarehouseError):
    """The embedded or the configured PostgreSQL server cannot be used."""


class PublishError(WarehouseError):
    """Nothing was published; the last published state stays."""
