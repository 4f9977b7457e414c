"""What the shop delivers: the data sets, their columns and the names their files go by."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath

CONTACTS = frozenset({"email", "phone"})  # columns that are no numbers, and that no message may quote


@dataclass(frozen=True)
class Dataset:
    """One data set: `name` is its raw table, `columns` must all be in each of its files, `optional` may be.

    `aliases` are the names its files go by, the usual one first. Without a file of one that is not `needed`
    its raw table is empty.
    """

    name: str
    columns: tuple[str, ...]
    aliases: tuple[str, ...]
    optional: tuple[str, ...] = ()
    needed: bool = True

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of its raw table; an optional one is null in the rows of a file without it."""
        return self.columns + self.optional

    @property
    def table(self) -> str:
        """Its all-text table in the warehouse."""
        return f"raw.{self.name}"

    def part_of(self, file_name: str) -> str | None:
        """Return which part of the data set a file holds, or None where it is another's file.

        A data set may come in parts (`Online_Sales_2019.csv`, `Online_Sales_2020.csv`); the part is what
        follows the known name, '' for the whole. Case, blanks, punctuation and ending do not count.
        """
        stem = squeezed(PurePosixPath(file_name).name.split(".")[0])
        for alias in self.aliases:
            if match := re.fullmatch(rf"{squeezed(alias)}((?:part)?\d*)", stem):
                return match.group(1)
        return None

    def known_columns(self, headers: Iterable[str]) -> list[str | None]:
        """Return the data set's column that each header means, or None; case, blank, - and _ do not count."""
        known = {squeezed(column): column for column in self.all_columns}
        return [known.get(squeezed(header)) for header in headers]


def squeezed(name: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return re.sub(r"[\W_]", "", name.lower())


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "customers",
            ("customerid", "gender", "location", "tenure_months"),
            ("CustomersData", "CustomerData", "Customers", "Customer"),
        ),
        Dataset(
            "online_sales",
            (
                "customerid",
                "transaction_id",
                "transaction_date",
                "product_sku",
                "product_description",
                "product_category",
                "quantity",
                "avg_price",
                "delivery_charges",
                "coupon_status",
            ),
            ("Online_Sales", "Online_Sale", "Sales"),
        ),
        Dataset("marketing_spend", ("date", "offline_spend", "online_spend"), ("Marketing_Spend",)),
        Dataset(
            "discount_coupon",
            ("month", "product_category", "coupon_code", "discount_pct"),
            ("Discount_Coupon", "Discount_Coupons", "Coupons"),
            optional=("year", "valid_from"),
        ),
        Dataset(
            "tax_amount",
            ("product_category", "gst"),
            ("Tax_amount", "Tax", "GST"),
            optional=("year", "valid_from"),
        ),
        Dataset(
            "customer_contacts",
            ("customer_id", "email", "phone", "consent"),
            ("Customer_Contacts", "Customer_Contact"),
            needed=False,
        ),
    )
}


def owner_of(file_name: str) -> Dataset | None:
    """Return the data set that a file of this name is a part of."""
    return next((dataset for dataset in DATASETS.values() if dataset.part_of(file_name) is not None), None)


def resembled_by(file_name: str) -> Dataset | None:
    """Return the data set that a name points to without being one of its parts, as `Online_Sales_H2` does.

    It holds one of the known names (a short one, as Tax, as a word of its own), or is one misspelt.
    """
    stem = PurePosixPath(file_name).name.split(".")[0]
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).lower())
    letters = "".join(words)
    known = {squeezed(alias): dataset for dataset in DATASETS.values() for alias in dataset.aliases}
    held = [alias for alias in known if (alias in letters if len(alias) > 5 else alias in words)]
    found = sorted(held, key=len, reverse=True) or get_close_matches(letters, known, n=1, cutoff=0.8)
    return known[found[0]] if found else None
