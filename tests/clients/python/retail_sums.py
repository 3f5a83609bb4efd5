"""How well the products of a shop sell by the words of their names, from its CSV file alone.

    python3 retail_sums.py FILE [DAY_AS_OF [TIME_ZONE [MIN_PRODUCTS]]]

FILE has a line for each item sold: InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country.
The rules are those that Orrery documents, written down a second time:

- A product is a stock code. Letter case does not matter, nor does the difference between "_", " " and "-". Its name is
  the first description of its lines that is not empty.
- A tag is a word of names: three or more letters of A to Z in any case, in the names of at least MIN_PRODUCTS products.
- An order is an invoice, created at the earliest time of its lines. The shop writes British time.
- Every order counts, also the cancellations (InvoiceNo begins with "C", quantities are below 0) and the lines without
  a customer, a description or a price.
- Units are the sum of quantities, gross totals that of quantity times unit price, in pounds.
- The last 7 days are DAY_AS_OF and the 6 days before it; days begin at midnight in TIME_ZONE. Sales after DAY_AS_OF do
  not count, nor do those more than 3,660 days before it.
- In a currency, the products of a tag are those with a line that counts; without one, all that have the word.

Only Python's own modules are used, and decimal numbers throughout, so the sums are exact.
"""

import csv
import gzip
import re
import sys
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

SHOP = ZoneInfo("Europe/London")
WINDOWS = (7, 30, 90)
DAYS = 3_660
FIELDS = ("units", "gross", *(f"{measure}_{days}d" for days in WINDOWS for measure in ("units", "gross")))


def words(name: str) -> set[str]:
    """The words of a product's name, in lower case."""
    return set(re.findall("[a-z]{3,}", re.sub("[A-Z]", lambda letter: letter[0].lower(), name)))


class Shop:
    """The lines of a file."""

    def __init__(self, path):
        self.names: dict[str, str] = {}
        self.created: dict[str, datetime] = {}
        self.lines: list[tuple[str, str, int, Decimal]] = []
        unpacked = gzip.open if str(path).endswith(".gz") else open
        with unpacked(path, "rt", encoding="utf-8", newline="") as file:
            for record in csv.DictReader(file):
                self._add(record)

    def _add(self, record: dict[str, str]):
        product = re.sub("[_ ]", "-", record["StockCode"].strip().lower())
        invoice = record["InvoiceNo"].strip().lower()
        quantity, price = int(record["Quantity"]), Decimal(record["UnitPrice"])
        written = datetime.strptime(record["InvoiceDate"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=SHOP)
        self.lines.append((invoice, product, quantity, quantity * price))
        self.created[invoice] = min(written, self.created.get(invoice, written))
        self.names[product] = self.names.get(product) or record["Description"].strip()

    def last_day(self) -> date:
        """The day of the last order, in the shop's time zone."""
        return max(self.created.values()).date()

    def tags(self, min_products: int) -> dict[str, set[str]]:
        """The products of each word that names at least so many of them."""
        products = defaultdict(set)
        for product, name in self.names.items():
            for word in words(name):
                products[word].add(product)
        return {word: found for word, found in products.items() if len(found) >= min_products}

    def sales(self, day_as_of: date, time_zone: str) -> dict[str, dict[str, Decimal]]:
        """The sums of each product with a line that counts."""
        zone = ZoneInfo(time_zone)
        days = {invoice: created.astimezone(zone).date() for invoice, created in self.created.items()}
        sums = defaultdict(lambda: dict.fromkeys(FIELDS, Decimal(0)))
        for invoice, product, quantity, gross in self.lines:
            age = (day_as_of - days[invoice]) / timedelta(days=1)
            if not 0 <= age <= DAYS:
                continue
            fields = ["units", "gross"]
            for window in WINDOWS:
                if age < window:
                    fields += [f"units_{window}d", f"gross_{window}d"]
            for field in fields:
                sums[product][field] += gross if field.startswith("gross") else quantity
        return sums


def rows_of(products: set[str], sales: dict[str, dict[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
    """The row without a currency and the one of pounds, if there is one: product_count and FIELDS."""
    rows = {"": {"product_count": Decimal(len(products)), **dict.fromkeys(FIELDS, Decimal(0))}}
    sold = [sales[product] for product in products if product in sales]
    if sold:
        sums = {field: sum(row[field] for row in sold) for field in FIELDS}
        rows["GBP"] = {"product_count": Decimal(len(sold)), **sums}
    return rows


def main(path: str, day_as_of: str = "", time_zone: str = "Europe/London", min_products: str = "10"):
    shop = Shop(path)
    day = date.fromisoformat(day_as_of) if day_as_of else shop.last_day()
    sales = shop.sales(day, time_zone)
    print("tag", "currency", "product_count", *FIELDS, sep="\t")
    for word, products in sorted(shop.tags(int(min_products)).items()):
        for currency, row in rows_of(products, sales).items():
            print(word, currency, *(f"{value:f}" for value in row.values()), sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
