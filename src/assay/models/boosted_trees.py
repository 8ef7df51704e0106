"""Boosted regression trees: one number from a few, by the LightGBM library; it has no randomness at these settings.

Trees are added one by one, each fitted to what the ones before it leave; with rows held out, growth ends when `patience` trees
in a row have not brought down one of the two errors there (mean absolute, mean squared). A leaf holds at least 20 rows, so fewer
than 40 grow no tree at all, and the prediction is a constant.

Source: Ke et al. 2017, LightGBM, https://papers.nips.cc/paper/6907-lightgbm-a-highly-efficient-gradient-boosting-decision-tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from assay.errors import MissingExtra

LEAF = 20  # rows in a leaf, at least: LightGBM's default


@final
@dataclass(frozen=True)
class BoostedTrees:
    """Trees that have grown; `rounds` of them.

    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> trees = BoostedTrees.grown(x, x[:, 0] > 0.5, rounds=300)
    >>> trees.predict(np.array([[0.2], [0.8]])).round(1).tolist(), trees.rounds
    ([0.0, 1.0], 300)
    """

    booster: Any
    rounds: int

    @classmethod
    def grown(
        cls,
        x: Float64[np.ndarray, "r g"],
        y: Float64[np.ndarray, "r"],
        rounds: int = 1000,
        rate: float = 0.01,
        held: tuple[np.ndarray, np.ndarray] | None = None,
        patience: int = 3,
    ) -> BoostedTrees:
        """Grow on rows x (r, g) with numbers y (r,); `held` (x, y) says when to stop, None: after `rounds` trees."""
        lightgbm = _library()
        # One thread: the sums of several are in no fixed order. `seed` is the published one; nothing here draws by it.
        settings = {
            "objective": "regression", "metric": ["l1", "l2"], "learning_rate": rate, "seed": 42, "verbosity": -1,
            "num_threads": 1,
        }  # fmt: skip
        data = lightgbm.Dataset(np.asarray(x, np.float64), np.asarray(y, np.float64))
        if held is None:
            return cls(lightgbm.train(settings, data, rounds), rounds)
        sets = [lightgbm.Dataset(*held, reference=data)]
        stop = lightgbm.early_stopping(patience, verbose=False)
        booster = lightgbm.train(settings, data, rounds, valid_sets=sets, callbacks=[stop])
        return cls(booster, booster.best_iteration or rounds)

    def predict(self, x: Float64[np.ndarray, "k g"]) -> Float64[np.ndarray, "k"]:
        """A number for each row."""
        return np.asarray(self.booster.predict(x, num_iteration=self.rounds), np.float64)


def _library() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra.of("a regression by boosted trees (regmix)", "mix") from None
    return lightgbm
