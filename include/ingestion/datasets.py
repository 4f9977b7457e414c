"""What the shop delivers: the five data sets, their columns and the names their files go by."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Dataset:
    """One data set: `name` is its raw table, `columns` must all be in each of its files, `optional` may be.

    `aliases` are the names its files go by, the usual one first.
    """

    name: str
    columns: tuple[str, ...]
    aliases: tuple[str, ...]
    optional: tuple[str, ...] = ()

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
        stem = _squeezed(PurePosixPath(file_name).name.split(".")[0])
        for alias in self.aliases:
            if match := re.fullmatch(rf"{_squeezed(alias)}((?:part)?\d*)", stem):
                return match.group(1)
        return None


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


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
    )
}
