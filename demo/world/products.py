"""Product rows of deals: split from the amount, with discounts, taxes, fractions and rows typed by hand."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.quirks import NUL

# catalogue id, name, kind (1 simple, 4 variation, 7 service), code and name of the unit
CATALOGUE = tuple(
    (100 + number, name, kind, code, unit)
    for number, (name, kind, code, unit) in enumerate(
        (
            ("Насос центробежный ЦНС 60-330", 1, 796, "шт"),
            ("Насос КМ 80-50-200", 4, 796, "шт"),
            ("Насос дренажный «Гном» 25-20", 1, 796, "шт"),
            ("Компрессор винтовой ВК-30", 1, 796, "шт"),
            ("Компрессор поршневой К-25М", 4, 796, "шт"),
            ("Электродвигатель АИР 132 М4", 4, 796, "шт"),
            ("Шкаф управления ШУН-1; 5,5 кВт", 1, 796, "шт"),
            ('Преобразователь частоты "Вектор" 11 кВт', 1, 796, "шт"),
            ("Муфта упругая МУВП", 1, 796, "шт"),
            ("Торцевое уплотнение 40 мм", 1, 796, "шт"),
            ("Подшипник 6312", 1, 796, "шт"),
            ("Масло компрессорное, л", 1, 112, "л"),
            ("Кабель ВВГнг 5×10", 1, 6, "м"),
            ("Труба стальная 108×4", 1, 6, "м"),
            ("Металлоконструкция рамы", 1, 166, "кг"),
            ("Монтаж и пусконаладка", 7, 356, "ч"),
            ("Диагностика на выезде", 7, 356, "ч"),
            ("Ремонт насоса", 7, 796, "шт"),
            ("Сервисный контракт, месяц", 7, 362, "мес"),
            ("Доставка", 7, 796, "шт"),
        )
    )
)
# roubles for one unit, with tax, in the order of CATALOGUE
PRICES = (
    *(186_400, 74_900, 28_700, 348_000, 52_300, 41_600, 68_500, 57_200, 3_900, 2_650),
    *(1_780, 460, 340, 2_350, 215, 2_900, 3_400, 38_000, 24_500, 6_800),
)
LIST_PRICES = {product[0]: Decimal(price) for product, price in zip(CATALOGUE, PRICES, strict=True)}
FREE_TEXT = ("Доп. работы по смете", "ЗИП 🔧 комплект", f"Прочее{NUL}", 'Выезд; срочный "ночной"\tтариф')
FRACTIONAL_UNITS = (112, 6, 166, 356)
TAX_RATES = (20, 20, 20, 22, None)


def number(value: Decimal) -> int | float:
    """Render a number as JSON from the portal has it: whole ones without a dot."""
    return int(value) if value == value.to_integral_value() else float(value)


def hundredths(value: Decimal) -> Decimal:
    """Round half up to hundredths."""
    return value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def product_row(
    row_id: int,
    owner_type: str,
    owner_id: int,
    product: tuple[int, str, int, int, str],
    price: Decimal,
    quantity: Decimal,
    rate: Decimal,
    tax: int | None,
    kind_of_discount: int,
    sort: int,
) -> Row:
    """Return a row as `crm.item.productrow.list` prints it.

    Args:
        row_id, owner_type, owner_id, sort: the row's place; the owner's type is a short code such as `D`.
        product: an entry of CATALOGUE. price: for one, discounted. rate, tax: percent.
        kind_of_discount: 1 absolute, 2 percent.
    """
    product_id, name, kind, measure, unit = product
    full = hundredths(price * 100 / (100 - rate))
    return {
        "id": row_id,
        "ownerId": owner_id,
        "ownerType": owner_type,
        "productId": product_id,
        "productName": name,
        "price": number(price),
        "priceAccount": number(price),
        "priceExclusive": number(hundredths(price * 100 / (100 + (tax or 0)))),
        "priceNetto": number(hundredths(full * 100 / (100 + (tax or 0)))),
        "priceBrutto": number(full),
        "quantity": number(quantity),
        "discountTypeId": kind_of_discount,
        "discountRate": number(rate),
        "discountSum": number(full - price),
        "taxRate": tax,
        "taxIncluded": "Y",
        "customized": "Y",
        "measureCode": measure,
        "measureName": unit,
        "sort": sort,
        "xmlId": "",
        "type": kind,
        "storeId": None,
    }


class ProductRows:
    """Writes and changes the rows of deals."""

    def __init__(self, engine: Engine) -> None:
        """Start with no rows."""
        self._engine = engine
        self._of_deal: dict[int, list[int]] = {}

    def write(self, deal_id: int, amount: Decimal, count: int, rate: Decimal) -> Decimal:
        """Write `count` rows that together cost about `amount`.

        Args:
            deal_id, amount, count: as said. rate: roubles for one unit of the deal's currency.

        Returns:
            the exact sum of price × quantity, each row rounded to hundredths, in the deal's currency.
        """
        weights = [self._engine.rng.uniform(0.2, 1.0) for _ in range(count)]
        total = sum(weights)
        for position, weight in enumerate(weights, 1):
            part = amount * Decimal(str(round(weight / total, 6)))
            self._add(deal_id, part, position * 10, rate)
        return self.total(deal_id)

    def total(self, deal_id: int) -> Decimal:
        """Return the sum of a deal's rows, each rounded to hundredths."""
        rows = self._engine.tables["deal_product_rows"].rows
        return sum(
            (
                hundredths(Decimal(str(rows[row_id]["price"])) * Decimal(str(rows[row_id]["quantity"])))
                for row_id in self._of_deal.get(deal_id, ())
            ),
            Decimal(0),
        )

    def of_deal(self, deal_id: int) -> list[Row]:
        """Return a deal's rows."""
        rows = self._engine.tables["deal_product_rows"].rows
        return [rows[row_id] for row_id in self._of_deal.get(deal_id, ())]

    def take_over(self, deal_id: int, rows: Iterable[Row]) -> None:
        """Write rows of another deal anew for this one."""
        table = self._engine.tables["deal_product_rows"]
        for row in rows:
            copy = {**row, "ownerId": deal_id}
            copy["id"] = table.add(copy)
            self._of_deal.setdefault(deal_id, []).append(copy["id"])

    def has_rows(self, deal_id: int) -> bool:
        """Tell whether a deal has rows."""
        return bool(self._of_deal.get(deal_id))

    def change(self, deal_id: int, rate: Decimal) -> Decimal:
        """Add a row, drop one, or change a quantity; return the new sum."""
        rows = self._of_deal[deal_id]
        roll = self._engine.rng.random()
        if roll < 0.35:
            average = self.total(deal_id) / len(rows)
            self._add(deal_id, average, len(rows) * 10 + 10, rate)
        elif roll < 0.55 and len(rows) > 1:
            gone = rows.pop(int(self._engine.rng.random() * len(rows)))
            del self._engine.tables["deal_product_rows"].rows[gone]
        else:
            row = self._engine.tables["deal_product_rows"].rows[self._engine.pick(rows)]
            row["quantity"] = row["quantity"] + 1
        return self.total(deal_id)

    def forget(self, deal_id: int) -> list[int]:
        """Delete a deal's rows and return their ids."""
        gone = self._of_deal.pop(deal_id, [])
        for row_id in gone:
            del self._engine.tables["deal_product_rows"].rows[row_id]
        return gone

    def _add(self, deal_id: int, amount: Decimal, sort: int, rate: Decimal) -> None:
        row = self._row(deal_id, amount, sort, rate)
        table = self._engine.tables["deal_product_rows"]
        row["id"] = table.add(row)
        self._of_deal.setdefault(deal_id, []).append(row["id"])

    def _row(self, deal_id: int, amount: Decimal, sort: int, rate: Decimal) -> Row:
        """Sell so much of a product that it costs about `amount`, at its list price less a discount."""
        rng = self._engine.rng
        affordable = [product for product in CATALOGUE if LIST_PRICES[product[0]] <= amount * rate]
        product_id, name, kind, measure, unit = self._engine.pick(affordable or CATALOGUE)
        full = LIST_PRICES[product_id] * Decimal(rng.choice(("0.95", "1", "1", "1.05"))) / rate
        if self._engine.chance(0.08):
            product_id, name, kind = 0, self._engine.pick(FREE_TEXT), 1
        discount = Decimal(rng.choice((0, 0, 0, 5, 10, 15)))
        price = hundredths(full * (100 - discount) / 100)
        parts = 8 if measure in FRACTIONAL_UNITS else 1
        quantity = max((amount / price * parts).quantize(Decimal(1), rounding=ROUND_HALF_UP), Decimal(1)) / parts
        tax = rng.choice(TAX_RATES)
        by = 2 if discount or self._engine.chance(0.8) else 1
        return product_row(
            0, "D", deal_id, (product_id, name, kind, measure, unit), price, quantity, discount, tax, by, sort
        )
