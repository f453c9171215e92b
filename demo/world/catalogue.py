"""The product catalogue: iblocks of products and offers, sections, prices; ids are those that product rows use."""

from __future__ import annotations

from demo.world.clock import DAY_S, portal_stamp
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.portal_setup import RATES
from demo.world.products import CATALOGUE, LIST_PRICES

PRODUCTS, OFFERS, PARENT_PROPERTY = 23, 24, 97
SIMPLE, PARENT, OFFER, SERVICE = 1, 3, 4, 7
# id, parent, name
SECTIONS = (
    (13, None, "Оборудование"),
    (14, 13, "Насосы"),
    (15, 13, "Компрессоры; двигатели"),
    (16, None, "Запчасти и материалы"),
    (18, None, "Услуги"),
    (21, 16, "Архив"),
)
_MEASURE_IDS = {796: 5, 112: 2, 6: 1, 166: 4, 356: 6, 362: 7}
NEVER_SOLD = "Насос НЦВ (снят с производства)"


class Catalogue:
    """Writes the catalogue once and lets prices change."""

    def __init__(self, engine: Engine, start: int) -> None:
        """Fill catalogues, sections, products and prices; all are older than `start`."""
        self._engine = engine
        self._dice = Dice(engine.seed, "catalogue")
        self._born = portal_stamp(start - 200 * DAY_S)
        self._write_catalogs()
        self._write_sections()
        parents = {row[0]: 121 + place for place, row in enumerate(row for row in CATALOGUE if row[2] == OFFER)}
        for product_id, name, kind, measure, _ in CATALOGUE:
            self._write(product_id, name, kind, measure, parents.get(product_id))
        for product_id, parent in parents.items():
            name = next(row[1] for row in CATALOGUE if row[0] == product_id)
            self._write(parent, f"{name} (серия)", PARENT, 796, None, price=False)
        self._write(130, NEVER_SOLD, SIMPLE, 796, None, active="N")

    def one_day(self) -> None:
        """Change one price and one purchasing price, as a price list does."""
        prices, products = self._engine.tables["product_prices"].rows, self._engine.tables["products"].rows
        now = portal_stamp(self._engine.now)
        price = prices[self._dice.pick(list(prices))]
        price["price"] = self._rounded(float(price["price"]) * 1.03)
        price["priceScale"] = self._scaled(price)
        price["timestampX"] = now
        product = products[self._dice.pick([row_id for row_id, row in products.items() if row["purchasingPrice"]])]
        product["purchasingPrice"] = self._rounded(float(product["purchasingPrice"]) * 1.02)
        product["timestampX"] = now

    def _write_catalogs(self) -> None:
        common = {"iblockTypeId": 0, "lid": "s1", "subscription": "N", "vatId": 1}
        table = self._engine.tables["catalogs"]
        products = {"id": PRODUCTS, "iblockId": PRODUCTS, "name": "Товарный каталог CRM"}
        table.put(PRODUCTS, {**products, "productIblockId": None, "skuPropertyId": None, **common})
        offers = {"id": OFFERS, "iblockId": OFFERS, "name": "Товарный каталог CRM (предложения)"}
        table.put(OFFERS, {**offers, "productIblockId": PRODUCTS, "skuPropertyId": PARENT_PROPERTY, **common})

    def _write_sections(self) -> None:
        for section, parent, name in SECTIONS:
            row: Row = {
                "id": section,
                "iblockId": PRODUCTS,
                "iblockSectionId": parent,
                "name": name,
                "xmlId": None,
                "code": None,
                "sort": 500,
                "active": "N" if name == "Архив" else "Y",
                "description": "",
                "descriptionType": "text",
            }
            self._engine.tables["product_sections"].put(section, row)

    def _write(
        self,
        product_id: int,
        name: str,
        kind: int,
        measure: int,
        parent: int | None,
        *,
        price: bool = True,
        active: str = "Y",
    ) -> None:
        sale = float(LIST_PRICES.get(product_id, 93_000))  # what is not for sale had a price too
        has_cost = kind != PARENT and self._dice.chance(0.85)
        row: Row = {
            "id": product_id,
            "iblockId": OFFERS if kind == OFFER else PRODUCTS,
            "name": name,
            "active": active,
            "available": "Y",
            "code": f"p{product_id}",
            "xmlId": str(product_id),
            "barcodeMulti": "N",
            "bundle": "N",
            "canBuyZero": "Y",
            "createdBy": 1,
            "modifiedBy": 1,
            "dateActiveFrom": None,
            "dateActiveTo": None,
            "dateCreate": self._born,
            "timestampX": self._born,
            "iblockSectionId": None if kind == OFFER else self._section(name, kind),
            "measure": _MEASURE_IDS[measure],
            "previewText": None,
            "detailText": None,
            "previewPicture": None,
            "detailPicture": None,
            "sort": 500,
            "subscribe": "D",
            "vatId": 1,
            "vatIncluded": "Y",
            "weight": 0,
            "quantityTrace": "N",
            "type": kind,
            "purchasingPrice": self._rounded(sale * 0.6) if has_cost else None,
            "purchasingCurrency": self._dice.pick(("RUB", "RUB", "RUB", "USD")) if has_cost else None,
            "quantity": 0 if kind == SERVICE else self._dice.number(0, 40),
            "quantityReserved": 0,
        }
        if row["purchasingCurrency"] == "USD":
            row["purchasingPrice"] = self._rounded(sale * 0.6 / float(RATES["USD"]))
        if parent is not None:
            link = {"value": str(parent), "valueId": str(9000 + product_id)}
            row |= {"parentId": link, f"property{PARENT_PROPERTY}": link}
        self._engine.tables["products"].rows[product_id] = row
        self._engine.tables["products"].last_id = max(product_id, self._engine.tables["products"].last_id)
        if price:
            self._write_price(product_id, sale)

    def _write_price(self, product_id: int, sale: float) -> None:
        row: Row = {
            "id": 0,
            "productId": product_id,
            "catalogGroupId": 1,
            "price": sale,
            "priceScale": 0,
            "currency": "RUB",
            "quantityFrom": None,
            "quantityTo": None,
            "extraId": None,
            "timestampX": self._born,
        }
        if product_id % 9 == 0:
            row |= {"price": self._rounded(sale / float(RATES["USD"])), "currency": "USD"}
        row["priceScale"] = self._scaled(row)
        row["id"] = self._engine.tables["product_prices"].add(row, step=2)

    def _scaled(self, price: Row) -> int | float:
        return self._rounded(float(price["price"]) * float(RATES[price["currency"]]))

    @staticmethod
    def _rounded(value: float) -> int | float:
        rounded = round(value, 2)
        return int(rounded) if rounded == int(rounded) else rounded

    @staticmethod
    def _section(name: str, kind: int) -> int:
        if kind == SERVICE:
            return 18
        if name == NEVER_SOLD:
            return 21
        if "Насос" in name:
            return 14
        return 15 if name.startswith(("Компрессор", "Электродвигатель")) else 16
