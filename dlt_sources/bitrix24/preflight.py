"""What a portal says about itself before anything is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dlt_sources.bitrix24.client import BitrixClient, Command
from dlt_sources.bitrix24.entities import ENTITIES, Family
from dlt_sources.bitrix24.errors import PortalError
from dlt_sources.bitrix24.walks import Reader, SingleCall, row_id, rows_at


@dataclass(frozen=True)
class PortalFacts:
    """Facts of one portal at the start of a run.

    Attributes:
        as_of: the portal's clock when it answered first, UTC.
        utc_offset: offset that the portal writes its times with.
        user_name: owner of the webhook; "" if the portal keeps it to itself.
        is_admin: whether he may manage the portal; others see only what their rights show. None if it is not told.
        scopes: permissions of the webhook; None if the portal does not tell.
        base_currency: ISO code, None if the portal does not tell.
        has_leads: False in simple CRM mode, where lead lists stay empty; None if the portal does not tell.
        max_ids: highest id by raw table, an upper bound of its row count; 0 for an empty table.
        operating_s: operating time used by one command of the table's method.
        refused: raw table to the portal's reason why it cannot be read.
    """

    as_of: datetime
    utc_offset: timedelta
    user_name: str
    is_admin: bool | None
    scopes: frozenset[str] | None
    base_currency: str | None
    has_leads: bool | None
    max_ids: Mapping[str, int]
    operating_s: Mapping[str, float]
    refused: Mapping[str, str]


def inspect(client: BitrixClient, *, dictionaries: bool = False) -> PortalFacts:
    """Ask a portal about itself, in one request.

    Args:
        dictionaries: whether to try the small lists too, which a run reads whole in any case.
    Raises:
        AccessError, PortalUnavailable, PortalError: as the client; a single refused fact is not an error.
    Source: Bitrix24 REST docs, profile.md, scope.md, server-time.md, crm-settings-mode-get.md.
    """
    facts = {
        method: SingleCall(Command(method, {}), optional=True)
        for method in ("profile", "scope", "server.time", "crm.currency.base.get", "crm.settings.mode.get")
    }
    newest = [
        (entity, SingleCall(Command(entity.method, entity.newest()), optional=True))
        for entity in ENTITIES
        if entity.family is not Family.DICTIONARY
    ]
    small = [
        (entity, SingleCall(Command(entity.method, entity.params), optional=True))
        for entity in ENTITIES
        if entity.family is Family.DICTIONARY and dictionaries
    ]
    for _ in Reader(client).read([*facts.values(), *(call for _, call in (*newest, *small))]):
        pass

    def answer(method: str) -> object:
        envelope = facts[method].answer
        return envelope.result if envelope else None

    as_of = client.started_at or _instant(answer("server.time"))
    profile, scopes, mode = answer("profile"), answer("scope"), answer("crm.settings.mode.get")
    profile = profile if isinstance(profile, dict) else {}
    admin, currency = profile.get("ADMIN"), answer("crm.currency.base.get")
    max_ids, operating_s = {}, {}
    for entity, call in newest:
        if call.answer is not None:
            rows = rows_at(call.answer.result, entity.path, entity.method)
            max_ids[entity.table] = max((row_id(row, entity.id, entity.method) for row in rows), default=0)
            operating_s[entity.table] = call.answer.operating_s
    return PortalFacts(
        as_of=as_of.astimezone(UTC),
        utc_offset=as_of.utcoffset() or timedelta(),
        user_name=" ".join(str(profile.get(key) or "") for key in ("NAME", "LAST_NAME")).strip(),
        is_admin=admin if isinstance(admin, bool) else None,
        scopes=frozenset(str(scope) for scope in scopes) if isinstance(scopes, list) else None,
        base_currency=currency if isinstance(currency, str) and currency else None,
        has_leads=None if mode is None else str(mode) != "2",
        max_ids=max_ids,
        operating_s=operating_s,
        refused={entity.table: call.note for entity, call in (*newest, *small) if call.note},
    )


def _instant(server_time: object) -> datetime:
    try:
        instant = datetime.fromisoformat(str(server_time))
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise PortalError("The portal does not tell its time, so no run can start. Is it a Bitrix24 portal?")
    return instant
