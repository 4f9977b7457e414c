"""The page as data: sections of blocks for a snapshot and a period, for page, CSV files and report."""

from collections.abc import Callable
from dataclasses import replace

from include.insights import customer_blocks, operations_blocks, sales_blocks
from include.insights.block import Block, Context, Section
from include.insights.kpis import kpis
from include.insights.sentences import changes

Maker = Callable[[Context], Block]

SECTIONS: tuple[tuple[str, str, dict[str, Maker]], ...] = (
    ("overview", "Overview", {"changes": changes, "kpis": kpis}),
    (
        "customers",
        "Customers",
        {
            "segments": customer_blocks.segments,
            "at_risk": customer_blocks.at_risk,
            "at_risk_customers": customer_blocks.at_risk_customers,
            "cohorts": customer_blocks.cohorts,
            "customer_value": customer_blocks.customer_value,
            "rfm_moves": customer_blocks.rfm_moves,
            "new_and_returning": customer_blocks.new_and_returning,
        },
    ),
    ("marketing", "Marketing", {"coupons": sales_blocks.coupons, "efficiency": sales_blocks.efficiency}),
    (
        "products",
        "Products",
        {
            "baskets": sales_blocks.baskets,
            "categories": sales_blocks.categories,
            "products": sales_blocks.products,
            "concentration": sales_blocks.concentration,
        },
    ),
    (
        "when_and_where",
        "When and where",
        {"seasons": sales_blocks.seasons, "places": sales_blocks.places, "delivery": sales_blocks.delivery},
    ),
    ("market", "Market", {"bitcoin": operations_blocks.bitcoin, "news": operations_blocks.news}),
    (
        "trust",
        "Trust",
        {
            "rejected": operations_blocks.rejected,
            "tests": operations_blocks.tests,
            "gate": operations_blocks.gate,
            "freshness": operations_blocks.freshness,
        },
    ),
)
MAKERS: dict[str, Maker] = {key: make for _, _, makers in SECTIONS for key, make in makers.items()}
# Of these a block says itself what to run first: the feeds, the training, dbt.
MAY_BE_MISSING = {
    *("bitcoin_hourly", "news_hourly", "news_latest"),
    *("segments", "segment_migrations", "model_gate", "node_health"),
}
NAMES_CUSTOMERS = frozenset({"at_risk_customers"})
HIDDEN = "This list names customers: seeing it needs the right to edit the DAG marketing_insights."


def sections(context: Context, *, names_customers: bool) -> list[Section]:
    """Return all blocks; without `names_customers` those whose rows name one are empty and say why."""
    return [
        Section(key, title, tuple(_block(context, name, names_customers) for name in makers))
        for key, title, makers in SECTIONS
    ]


def aggregates(context: Context) -> list[Section]:
    """Return all blocks but those whose rows name customers: what may leave by e-mail or as a file."""
    return [
        Section(key, title, tuple(made(context, name) for name in makers if name not in NAMES_CUSTOMERS))
        for key, title, makers in SECTIONS
    ]


def _block(context: Context, name: str, names_customers: bool) -> Block:
    if name in NAMES_CUSTOMERS and not names_customers:
        return replace(made(replace(context, whole=False), name), rows=(), row_count=0, empty=HIDDEN)
    return made(context, name)


def made(context: Context, name: str) -> Block:
    """Return a block, empty where a mart of it was never built; raises KeyError for a name that none has.

    "Nobody is overdue" would be a claim, so it is not said of a mart that is not there.
    """
    asked = replace(context, lacking=set())
    block = MAKERS[name](asked)
    lacks = sorted(asked.lacking - MAY_BE_MISSING)
    if not lacks or block.claims:  # a sentence on what changed rests on its own tables
        return block
    empty = (
        f"Not in this snapshot, since it was not built: {', '.join(lacks)}. Run the DAG marketing_insights."
    )
    return replace(block, rows=(), row_count=0, empty=empty)
