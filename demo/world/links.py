"""Links of many to many: contacts of a deal, companies of a contact.

The tables hold the further links only: the first one is the row's own CONTACT_ID or COMPANY_ID, which may change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from demo.world.clients import Client
from demo.world.deals import Deal
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import Row

SECOND_COMPANY_SHARE = 0.06


@dataclass(frozen=True)
class LinkKind:
    """One kind of links: the table, its rows' owners, and both ids."""

    table: str
    owners: str
    owner_key: str
    other_key: str


DEAL_CONTACTS = LinkKind("deal_contacts", "deals", "DEAL_ID", "CONTACT_ID")
CONTACT_COMPANIES = LinkKind("contact_companies", "contacts", "CONTACT_ID", "COMPANY_ID")


def links_of(kind: LinkKind, owner: Row, further: Iterable[Row]) -> list[Row]:
    """Return all links of an owner, the primary one first."""
    primary = int(owner.get(kind.other_key) or 0)  # empty, null and "0" are all nobody
    # a merge may have made two links lead to one row
    others = list(dict.fromkeys(row[kind.other_key] for row in further if row[kind.other_key] != primary))
    owner_id = int(owner["ID"])
    return [
        {
            kind.owner_key: owner_id,
            kind.other_key: other,
            "SORT": place * 100,
            "ROLE_ID": 0,
            "IS_PRIMARY": "Y" if other == primary else "N",
        }
        for place, other in enumerate([primary, *others] if primary else others, 1)
    ]


def all_links(kind: LinkKind, owners: Iterable[Row], further: Iterable[Row]) -> Iterator[Row]:
    """Yield the links of every owner."""
    of_owner: dict[int, list[Row]] = {}
    for row in further:
        of_owner.setdefault(row[kind.owner_key], []).append(row)
    for owner in owners:
        yield from links_of(kind, owner, of_owner.get(int(owner["ID"]), ()))


class Links:
    """Gives deals more contacts, and contacts more companies."""

    def __init__(self, engine: Engine) -> None:
        """Wait for deals and contacts."""
        self._engine = engine
        self._dice = Dice(engine.seed, "links")
        engine.hear("deal created", self._on_deal)
        engine.hear("client created", self._on_client)

    def one_day(self) -> None:
        """Add a contact to a deal of the last days, which touches the deal."""
        deals, contacts = (self._engine.tables[name].rows for name in ("deals", "contacts"))
        latest = [row for row in list(deals.values())[-200:] if row["CONTACT_ID"] not in (None, "0")]
        if latest and contacts:
            deal = self._dice.pick(latest)
            self._add(DEAL_CONTACTS, int(deal["ID"]), self._dice.pick(list(contacts)))
            self._engine.touch(deal, deal["MODIFY_BY_ID"])

    def _on_deal(self, deal: Deal) -> None:
        client = deal.client
        # a deal without a contact of its own, on purpose or because it was deleted, has no further ones
        if client is None or deal.row["CONTACT_ID"] != str(client.contact_id):
            return
        for contact_id in client.contact_ids[1:]:
            if self._dice.chance(0.6):
                self._add(DEAL_CONTACTS, deal.id, contact_id)

    def _on_client(self, client: Client) -> None:
        if client.company_id is None or not self._dice.chance(SECOND_COMPANY_SHARE):
            return
        companies = self._engine.tables["companies"].rows
        for company_id in reversed(companies):
            if company_id != client.company_id and companies[company_id]["IS_MY_COMPANY"] == "N":
                self._add(CONTACT_COMPANIES, client.contact_ids[0], company_id)
                return

    def _add(self, kind: LinkKind, owner_id: int, other_id: int) -> None:
        table = self._engine.tables[kind.table]
        table.add({kind.owner_key: owner_id, kind.other_key: other_id})
