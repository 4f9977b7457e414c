"""Random numbers: all from uniform ones, since the streams of numpy's other distributions may change."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from standalone.sample_data.tables import CUSTOMERS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Draw:
    """Weighted draws from a table with one row of weights for each kind of draw."""

    def __init__(self, weights: Sequence[Sequence[float] | Floats] | Floats) -> None:
        table = np.asarray(weights, dtype=np.float64)
        shares = np.cumsum(table, axis=1) / table.sum(axis=1, keepdims=True)
        shares[:, -1] = 1.0
        self._width = table.shape[1]
        self._steps = (shares + np.arange(len(table))[:, None]).ravel()

    def __call__(self, rows: Ints | int, uniform: Floats) -> Ints:
        """Return a column number for each uniform number, drawn with the weights of its row."""
        found = np.searchsorted(self._steps, uniform + rows, side="right") - np.asarray(rows) * self._width
        return np.asarray(found, dtype=np.int64)


def stream_of(seed: int, *stream: int) -> np.random.Generator:
    """Return the random stream of one purpose, the same for the same seed on every machine."""
    return np.random.default_rng([seed, *stream])


def normal(rng: np.random.Generator, size: int) -> Floats:
    """Return normally distributed numbers (Box-Muller)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - rng.random(size)))
    return np.asarray(radius * np.cos(2.0 * np.pi * rng.random(size)), dtype=np.float64)


def permutation(rng: np.random.Generator, size: int) -> Ints:
    """Return 0 … size - 1 in random order."""
    return np.argsort(rng.random(size), kind="stable")


def quotas(shares: Sequence[float], rng: np.random.Generator) -> Ints:
    """Return a group number for each customer: groups of exactly these shares, in random order."""
    edges = np.rint(np.cumsum(shares) / sum(shares) * CUSTOMERS)
    return np.searchsorted(edges, np.arange(CUSTOMERS), side="right")[permutation(rng, CUSTOMERS)]
