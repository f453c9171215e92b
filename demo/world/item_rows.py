"""Product rows of everything that is not a deal: leads, quotes, invoices, smart processes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.packed import Packed, PackedTable
from demo.world.products import CATALOGUE, LIST_PRICES, TAX_RATES, hundredths, number, product_row

# one table numbers the rows of all owners; those of deals have the low ids here
FIRST_ID = 50_000_001
LEADS_WITH_ROWS = 0.06


def _unpack(row_id: int, values: Packed) -> Row:
    owner_type, owner_id, product, price, quantity, rate, tax, kind_of_discount, sort = values
    price, quantity, rate = (Decimal(str(value)) for value in (price, quantity, rate))
    return product_row(row_id, owner_type, owner_id, product, price, quantity, rate, tax, kind_of_discount, sort)


class ItemRows:
    """Writes and changes these rows. An owner is a short code of its type, such as `Q`, and an id."""

    def __init__(self, engine: Engine) -> None:
        """Begin with no rows."""
        self._dice = Dice(engine.seed, "product rows")
        self._table = PackedTable("product_rows", _unpack, last_id=FIRST_ID - 1)
        self._of: dict[tuple[str, int], list[int]] = {}
        engine.tables["product_rows"] = self._table
        engine.hear("lead created", self._on_lead)

    def copy(self, owner: tuple[str, int], rows: Iterable[Row]) -> Decimal:
        """Give an owner rows like those of another; return their sum."""
        for row in rows:
            product = (row["productId"], row["productName"], row["type"], row["measureCode"], row["measureName"])
            values = (product, row["price"], row["quantity"], row["discountRate"], row["taxRate"])
            self._add(owner, (*values, row["discountTypeId"], row["sort"]))
        return self.total(owner)

    def draw(self, owner: tuple[str, int], count: int) -> Decimal:
        """Give an owner rows of the catalogue; return their sum."""
        for place in range(1, count + 1):
            product = self._dice.pick(CATALOGUE)
            quantity = self._dice.pick((1, 1, 1, 2, 3))
            tax = self._dice.pick(TAX_RATES)
            self._add(owner, (product, number(LIST_PRICES[product[0]]), quantity, 0, tax, 2, place * 10))
        return self.total(owner)

    def change(self, owner: tuple[str, int]) -> Decimal:
        """Drop a row or change a quantity; return the new sum."""
        rows = self._of[owner]
        if len(rows) > 1 and self._dice.chance(0.3):
            del self._table.rows[rows.pop()]
        else:
            row_id = self._dice.pick(rows)
            values = list(self._table.packed.packed(row_id))
            values[4] += 1
            self._table.packed.pack(row_id, tuple(values))
        return self.total(owner)

    def has_rows(self, owner: tuple[str, int]) -> bool:
        """Tell whether an owner has rows."""
        return bool(self._of.get(owner))

    def total(self, owner: tuple[str, int]) -> Decimal:
        """Return the sum of an owner's rows, each rounded to hundredths."""
        lines = (self._table.packed.packed(row_id) for row_id in self._of.get(owner, ()))
        return sum((hundredths(Decimal(str(line[3])) * Decimal(str(line[4]))) for line in lines), Decimal(0))

    def forget(self, owner: tuple[str, int]) -> list[int]:
        """Delete an owner's rows and return their ids."""
        gone = self._of.pop(owner, [])
        for row_id in gone:
            del self._table.rows[row_id]
        return gone

    def _on_lead(self, lead_id: int) -> None:
        if self._dice.chance(LEADS_WITH_ROWS):
            self.draw(("L", lead_id), self._dice.number(1, 2))

    def _add(self, owner: tuple[str, int], values: Packed) -> None:
        self._of.setdefault(owner, []).append(self._table.append((*owner, *values)))
