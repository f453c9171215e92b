"""What a portal says about itself before anything is read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import orjson

from dlt_sources.bitrix24.client import BitrixClient, Command
from dlt_sources.bitrix24.entities import ENTITIES, Family
from dlt_sources.bitrix24.errors import ConfigurationError, PortalError
from dlt_sources.bitrix24.walks import Reader, SingleCall, read_page


@dataclass(frozen=True)
class PortalFacts:
    """Facts of one portal at the start of a run.

    Attributes:
        as_of: the portal's clock when it answered first, UTC.
        utc_offset: offset that the portal writes its times with.
        user_id: of the webhook's owner; `user_name` his name; both "" if the portal keeps them to itself.
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
    user_id: str
    user_name: str
    is_admin: bool | None
    scopes: frozenset[str] | None
    base_currency: str | None
    has_leads: bool | None
    max_ids: Mapping[str, int]
    operating_s: Mapping[str, float]
    refused: Mapping[str, str]

    @property
    def rights(self) -> "Rights":
        """What the webhook may see."""
        return Rights(self.user_id, self.is_admin, None if self.scopes is None else tuple(sorted(self.scopes)))


@dataclass(frozen=True)
class Rights:
    """What decides which rows a webhook sees. Rows that nobody may see any more look like deleted ones."""

    user_id: str
    is_admin: bool | None
    scopes: tuple[str, ...] | None

    def to_json(self) -> str:
        """Return it as text for the ledger."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> "Rights":
        """Read what `to_json` wrote."""
        values = orjson.loads(text)
        scopes = values["scopes"]
        return cls(values["user_id"], values["is_admin"], None if scopes is None else tuple(scopes))

    def less_than(self, before: "Rights") -> str:
        """Say what was lost since then, "" if nothing was."""
        if before.is_admin and not self.is_admin:
            return "the webhook's owner is no administrator any more"
        if not self.is_admin and self.user_id != before.user_id:
            return "the webhook belongs to somebody else, who is no administrator"
        lost = sorted(set(before.scopes or ()) - set(self.scopes or ())) if self.scopes is not None else []
        return f"the webhook lost the scope {', '.join(lost)}" if lost else ""


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
            max_ids[entity.name] = max(read_page(call.answer, entity).ids, default=0)
            operating_s[entity.name] = call.answer.operating_s
    facts_of_portal = PortalFacts(
        as_of=as_of.astimezone(UTC),
        utc_offset=as_of.utcoffset() or timedelta(),
        user_id=str(profile.get("ID") or ""),
        user_name=" ".join(str(profile.get(key) or "") for key in ("NAME", "LAST_NAME")).strip(),
        is_admin=admin if isinstance(admin, bool) else None,
        scopes=frozenset(str(scope) for scope in scopes) if isinstance(scopes, list) else None,
        base_currency=currency if isinstance(currency, str) and currency else None,
        has_leads=None if mode is None else str(mode) != "2",
        max_ids=max_ids,
        operating_s=operating_s,
        refused={entity.table: call.note for entity, call in (*newest, *small) if call.note},
    )
    _check_other_webhooks(client, facts_of_portal.rights)
    return facts_of_portal


def _check_other_webhooks(client: BitrixClient, rights: Rights) -> None:
    """Several webhooks read one table, so one that sees less would leave gaps in it."""
    for lane in list(client.lanes)[1:]:
        profile, scopes = client.call("profile", lane=lane).result, client.call("scope", lane=lane).result
        own = Rights(str(profile.get("ID") or ""), profile.get("ADMIN"), tuple(sorted(map(str, scopes))))
        if lost := own.less_than(rights) or rights.less_than(own):
            raise ConfigurationError(
                f"The webhooks of BITRIX24_WEBHOOK_URL have different rights ({lost}; number {lane + 1}). Rows that "
                "one of them may not see would be missing: let an administrator make all of them, with the same scopes."
            )


def _instant(server_time: object) -> datetime:
    try:
        instant = datetime.fromisoformat(str(server_time))
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise PortalError("The portal does not tell its time, so no run can start. Is it a Bitrix24 portal?")
    return instant
