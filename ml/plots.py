"""The plots of a version as PNG; their data is stored beside them as CSV."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = color_sequences["petroff10"]  # made for colour-blind readers, too
DPI = 110
MAX_POINTS = 5_000  # more would cover each other


def selection(table: pd.DataFrame, chosen_k: int) -> bytes:
    """Draw inertia, silhouette and stability over k; `table` is that of evaluation.selection_table."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = {
        "inertia": "Inertia: distance within segments",
        "silhouette": "Silhouette: separation (1 is best)",
        "stability_mean": "Stability: mean and worst refit",
    }
    for axes, (column, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axes.plot(table["k"], table[column], marker="o", color=COLORS[0])
        if column == "stability_mean":
            axes.plot(table["k"], table["stability_worst"], marker="o", color=COLORS[0], alpha=0.35)
        axes.axvline(chosen_k, color=COLORS[2], linestyle="--", label=f"k = {chosen_k} in use")
        axes.legend(frameon=False)
        _finish(axes, title, "k: number of segments", "")
        axes.set_xticks(table["k"])
    return _png(figure)


def segments(summary: pd.DataFrame) -> bytes:
    """Draw each segment's shares of customers and revenue, and its profile; see summarize_segments."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    shares, profile = figure.subplots(1, 2)
    places = np.arange(len(summary))
    shares.barh(
        places - 0.2, summary["customer_share"] * 100, 0.38, color=COLORS[0], label="of the customers"
    )
    shares.barh(places + 0.2, summary["revenue_share"] * 100, 0.38, color=COLORS[1], label="of the revenue")
    shares.set_yticks(places, summary["segment_name"])
    shares.invert_yaxis()
    shares.legend(frameon=False)
    _finish(shares, "Share of each segment", "per cent", "")
    _draw_profile(profile, summary)
    return _png(figure)


def projection(points: pd.DataFrame, names: Mapping[int, str]) -> bytes:
    """Draw the customers in the plane of their first two principal components, by segment."""
    figure = Figure(figsize=(7.5, 5.2), layout="constrained")
    axes = figure.subplots()
    shown = points.sample(MAX_POINTS, random_state=0) if len(points) > MAX_POINTS else points
    for position, (segment_id, name) in enumerate(names.items()):
        own = shown[shown["segment_id"] == segment_id]
        axes.scatter(
            own["component_1"], own["component_2"], s=9, alpha=0.6, color=_color(position), label=name
        )
    axes.legend(frameon=False, markerscale=2.5)
    _finish(axes, "Customers by their features", "first principal component", "second")
    return _png(figure)


def migrations(moves: pd.DataFrame, names: Mapping[int, str]) -> bytes:
    """Draw how many customers went from which segment of the version before to which of this one."""
    ids = sorted({*names, *moves["from_segment_id"], *moves["to_segment_id"]})
    labels = [names.get(one, f"Segment {one}") for one in ids]
    counts = moves.pivot_table(
        index="from_segment_id", columns="to_segment_id", values="customers", aggfunc="sum", fill_value=0
    ).reindex(index=ids, columns=ids, fill_value=0)
    shares = counts.to_numpy() / counts.sum(axis=1).clip(lower=1).to_numpy()[:, None]
    figure = Figure(figsize=(8.2, 5.8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), customers in np.ndenumerate(counts.to_numpy()):
        shade = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{customers:,}", ha="center", va="center", color=shade)
    axes.set_xticks(range(len(ids)), labels, rotation=25, ha="right")
    axes.set_yticks(range(len(ids)), labels)
    axes.set(title="Customers by segment, before and now", xlabel="now", ylabel="before")
    return _png(figure)


def _draw_profile(axes: Axes, summary: pd.DataFrame) -> None:
    """Draw each figure of a segment as a multiple of the mean over all customers."""
    weights = summary["customers"] / summary["customers"].sum()
    figures = {
        "recency_days": "days since\nlast order",
        "purchase_days": "purchase\ndays",
        "monetary": "revenue",
        "purchase_day_value": "revenue a\npurchase day",
    }
    width = 0.8 / len(summary)
    for position, (_, one) in enumerate(summary.iterrows()):
        multiples = [one[name] / (summary[name] * weights).sum() for name in figures]
        places = np.arange(len(figures)) - 0.4 + width * (position + 0.5)
        axes.bar(places, multiples, width, color=_color(position), label=one["segment_name"])
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(range(len(figures)), list(figures.values()))
    axes.legend(frameon=False, fontsize=8)
    _finish(axes, "Profile: multiples of the average customer", "", "")


def _color(position: int) -> Any:
    return COLORS[position % len(COLORS)]


def _finish(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()
