"""The model card: one page of Markdown that says what a version is, how good it is and how to use it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ml.archetypes import ARCHETYPES, Archetype
from ml.evaluation import Evaluation, Migrations
from ml.features import FEATURES, CustomerFeatures
from ml.gate import GateResult
from ml.segmentation import MODEL_FEATURES

_USE = """\
Groups the shop's customers for campaigns and reports. A segment describes past orders; it does not predict.
Not for decisions about a single person (credit, prices, service), and not for customers without an order:
they are in no segment. A name is true of its segment as a whole, not of each customer in it. Who bought once
is a Big Spender or an Occasional Shopper by what that day brought, new or long silent alike:
`lifecycle_stage` tells them apart. The model knows no season, no channel, no margin and no return.
"""


def write_card(
    version: str,
    features: CustomerFeatures,
    evaluated: Evaluation,
    gate: GateResult,
    parameters: Mapping[str, Any],
) -> str:
    """Return the card; `parameters` are those of the version's parameters file, and its decision."""
    summary, selection = evaluated.summary, evaluated.selection
    used = {
        one.name: f"log1p(x / {one.unit:g}{' medians' if one.in_medians else ''}), standardised,"
        f" weight {one.weight:g}"
        for one in MODEL_FEATURES
    }
    sections = [
        f"# Customer segments {version}",
        _bullets(_facts(features, parameters)),
        "## Use",
        _USE.strip(),
        "## Segments",
        _segments(summary),
        _picture("segments", "Shares and profile of each segment"),
        "## What each segment means",
        _meanings(summary),
        _picture("projection", "Customers in the plane of their first two principal components"),
        "## Features",
        _table(
            ["Feature", "Meaning", "In the model"],
            [(one.name, one.meaning, used.get(one.name, "no, only described")) for one in FEATURES],
        ),
        "## Gate",
        _gate(gate),
        "## Choice of k",
        "Five segments are a business choice: each has a name and a campaign of its own. Other k are for"
        " comparison.",
        _table(list(selection.columns), [_cells(row) for row in selection.itertuples(index=False)]),
        _picture("selection", "Inertia, silhouette and stability over k"),
        "## Customers who moved since the version before",
        _migrations(evaluated.migrations, summary),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(features: CustomerFeatures, parameters: Mapping[str, Any]) -> list[tuple[str, object]]:
    without = f"{features.without_orders} without an order are in no segment"
    return [
        ("Decision", parameters["decision"]),
        ("Customers", f"{len(features.frame)}; {without}"),
        ("k, seed", f"{parameters['k']}, {parameters['seed']}"),
        ("Data fingerprint", parameters["data_fingerprint"]),
        ("As-of date", parameters["as_of_date"] or "not told by the file"),
        ("Orders", f"{parameters['first_order_date']} to {parameters['last_order_date']}"),
        ("Evaluated on", _evaluated(features, parameters)),
        ("Compared with", parameters["compared_with"] or "no version"),
    ]


def _evaluated(features: CustomerFeatures, parameters: Mapping[str, Any]) -> str:
    customers = parameters["evaluation_customers"]
    if customers == len(features.frame):
        return f"all {customers} customers"
    return (
        f"a random sample of {customers} customers: stabilities, seeds, silhouettes and the choice of k;"
        " sizes, shares, revenue, names and disagreement are of all"
    )


def _segments(summary: pd.DataFrame) -> str:
    header = [
        *("Id", "Segment", "Customers", "Share", "Revenue, USD", "Share"),
        *("Purchase days each", "A purchase day, USD", "Days since last order"),
    ]
    rows = [
        (
            segment_id,
            one.segment_name,
            one.customers,
            f"{one.customer_share:.1%}",
            f"{one.revenue:,.2f}",
            f"{one.revenue_share:.1%}",
            f"{one.purchase_days:.1f}",
            f"{one.purchase_day_value:.2f}",
            f"{one.recency_days:.0f}",
        )
        for segment_id, one in summary.iterrows()
    ]
    return _table(header, rows)


def _meanings(summary: pd.DataFrame) -> str:
    return _bullets(
        (f"**{one.name}**", f"{one.meaning} {one.action} {_claims(one)}")
        for one in ARCHETYPES
        if one.segment_id in summary.index
    )


def _claims(archetype: Archetype) -> str:
    return f"The gate checks that {'; that '.join(claim.words for claim in archetype.claims)}."


def _gate(gate: GateResult) -> str:
    table = _table(
        ["Figure", "Value", "Limit", ""],
        [
            (
                f"{one.name}: {one.words}",
                f"{one.value:.3f}",
                f"{'≥' if one.at_least else '≤'} {one.limit:g}",
                _verdict(one.passed),
            )
            for one in gate.checks
        ],
    )
    return "\n\n".join([table, *(f"- {finding}" for finding in gate.findings)])


def _migrations(migrations: Migrations | None, summary: pd.DataFrame) -> str:
    if migrations is None:
        return "This is the first version."
    names = summary["segment_name"].to_dict()
    changes = migrations.moves.query("from_segment_id != to_segment_id").sort_values(
        "customers", ascending=False
    )
    text = (
        f"{migrations.share:.1%} of {migrations.customers_in_both} customers moved:"
        f" {migrations.behaviour_share:.1%} by what they did, {migrations.model_share:.1%} by the model;"
        f" {migrations.joined} are new, {migrations.left} are gone."
    )
    if changes.empty:
        return text
    rows = [
        (names.get(one.from_segment_id, one.from_segment_id), names.get(one.to_segment_id), one.customers)
        for one in changes.itertuples()
    ]
    picture = _picture("migrations", "Customers by segment, before and now")
    return f"{text}\n\n{_table(['From', 'To', 'Customers'], rows)}\n\n{picture}"


def _picture(name: str, caption: str) -> str:
    return f"![{caption}](plots/{name}.png)"


def _bullets(facts: Iterable[tuple[str, object]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _cells(row: Iterable[float]) -> list[str]:
    return [f"{value:.0f}" if float(value).is_integer() else f"{value:.3f}" for value in row]


def _verdict(passed: bool) -> str:
    return "passed" if passed else "FAILED"
