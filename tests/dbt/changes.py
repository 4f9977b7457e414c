"""Random changes of the shop's files, as a shop would make them from one delivery to the next."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.dbt.dbt_project import write
from tests.dbt.money import Row, read

SALES, CUSTOMERS = "Online_Sales.csv", "CustomersData.csv"
NEXT_PART = "Online_Sales_2.csv"

Change = Callable[[Path, Random], None]


def rewrite(folder: Path, name: str, change: Callable[[list[Row]], list[Row]]) -> None:
    """Rewrite a file without loading it."""
    write(folder / name, change(read(folder / name)))


def with_one(rows: list[Row], random: Random, **values: str) -> list[Row]:
    """Return the rows, one of them with other values."""
    chosen = random.randrange(len(rows))
    return [row | values if number == chosen else row for number, row in enumerate(rows)]


def a_day(random: Random) -> str:
    return f"{random.randint(1, 12)}/{random.randint(1, 28)}/{random.choice((2019, 2019, 2019, 2020))}"


def corrected_line(folder: Path, random: Random) -> None:
    values = random.choice(
        [
            {"Quantity": str(random.randint(1, 9))},
            {"Avg_Price": f"{random.randint(0, 99999) / 1000}"},
            {"Delivery_Charges": f"{random.randint(0, 999) / 100}"},
            {"Coupon_Status": random.choice(["Used", "Clicked", "Not Used"])},
        ]
    )
    rewrite(folder, SALES, lambda rows: with_one(rows, random, **values))


def removed_line(folder: Path, random: Random) -> None:
    def without(rows: list[Row]) -> list[Row]:
        gone = random.randrange(len(rows))
        return rows[:gone] + rows[gone + 1 :]

    rewrite(folder, SALES, without)


def new_line(folder: Path, random: Random) -> None:
    """Of a new transaction, or of one that is there, perhaps on another day."""

    def more(rows: list[Row]) -> list[Row]:
        like, product = random.choice(rows), random.choice(rows)
        new = product | {name: like[name] for name in ("CustomerID", "Transaction_Date")}
        new["Transaction_ID"] = random.choice([like["Transaction_ID"], str(900_000 + random.randrange(9))])
        if random.random() < 0.3:
            new["Transaction_Date"] = a_day(random)
        return [*rows, new]

    rewrite(folder, SALES, more)


def moved_day(folder: Path, random: Random) -> None:
    rewrite(folder, SALES, lambda rows: with_one(rows, random, Transaction_Date=a_day(random)))


def other_buyer(folder: Path, random: Random) -> None:
    buyer = random.choice([*(row["CustomerID"] for row in read(folder / CUSTOMERS)), "990001", ""])
    rewrite(folder, SALES, lambda rows: with_one(rows, random, CustomerID=buyer))


def replaced_customer(folder: Path, random: Random) -> None:
    rewrite(folder, CUSTOMERS, lambda rows: with_one(rows, random, CustomerID="990002"))


def other_category(folder: Path, random: Random) -> None:
    category = random.choice(read(folder / "Tax_amount.csv"))["Product_Category"]
    rewrite(folder, SALES, lambda rows: with_one(rows, random, Product_Category=category))


def number_used_again(folder: Path, random: Random) -> None:
    def again(rows: list[Row]) -> list[Row]:
        number = random.choice(rows)["Transaction_ID"]
        lines = [row for row in rows if row["Transaction_ID"] == number]
        return rows + [row | {"Transaction_Date": "3/3/2020"} for row in lines]

    rewrite(folder, SALES, again)


def restated_coupon(folder: Path, random: Random) -> None:
    rewrite(folder, "Discount_Coupon.csv", lambda rows: with_one(rows, random, Discount_pct="35"))


def restated_tax(folder: Path, random: Random) -> None:
    rewrite(folder, "Tax_amount.csv", lambda rows: with_one(rows, random, GST="7%"))


def split_file(folder: Path, random: Random) -> None:
    """The second part repeats a line of the first, corrected."""

    def first_part(rows: list[Row]) -> list[Row]:
        half = random.randrange(2, len(rows) - 1)
        repeated = rows[random.randrange(half)] | {"Quantity": str(random.randint(1, 9))}
        write(folder / NEXT_PART, [repeated, *rows[half:]])
        return rows[:half]

    if not (folder / NEXT_PART).exists():
        rewrite(folder, SALES, first_part)


CHANGES: list[Change] = [
    corrected_line,
    removed_line,
    new_line,
    moved_day,
    other_buyer,
    replaced_customer,
    other_category,
    number_used_again,
    restated_coupon,
    restated_tax,
    split_file,
]
