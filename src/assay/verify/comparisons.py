"""The choice against every arm, and the correction for asking several questions at once.

Against random, or another arm with a draw for each seed (`length`, `rs2`), the choice is one further draw: it is charged the
spread of one draw, random's or the rival's, whichever is larger (RS2's draws differ by less than one subset's do, because
each reads several). Against another fixed arm (a run, a cleaned pool) each of the two is charged random's spread. All are
paired by seed where the choice was trained once for each (intervals.py).

The main question has the verdict's level to itself. The others are corrected together: p-values ascending, p_(i) is
multiplied by how many are left, max_{k <= i} min(1, (n - k + 1) p_(k)), so that the probability of any false answer among
them is at most the level, however they depend on each other (Holm 1979, https://www.jstor.org/stable/4615733).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64, Int, Int64

from assay.verify import intervals
from assay.verify.arms import RIVALS
from assay.verify.intervals import Answer, Difference


@final
@dataclass(frozen=True)
class Measured:
    """One metric of all arms: those of the choice's budget by name, a row for each result `(j, d)`, and random's curve, with the
    choice's budget at `start`."""

    arms: Mapping[str, Float64[np.ndarray, "j d"]]
    curve: Float64[np.ndarray, "p m d"]
    sizes: Int[np.ndarray, "d"]
    budgets: Int64[np.ndarray, "p"]
    start: int

    @property
    def draws(self) -> Float64[np.ndarray, "m d"]:
        """Random at the choice's budget."""
        return self.curve[self.start]

    @property
    def others(self) -> tuple[str, ...]:
        """Every arm that the choice can be compared with, random first."""
        return ("random", *(name for name in self.arms if name not in ("choice", "pool", "random")))

    def mean(self, name: str) -> float:
        """An arm's metric, the mean over its results."""
        rows = self.draws if name == "random" else self.arms[name]
        return float(np.mean(intervals.metric(rows, self.sizes)))

    def compare(self, against: str, level: float) -> Difference:
        """The choice against random, a rival with a draw for each seed, or another fixed arm."""
        choice, draws = intervals.pair(self.arms["choice"], self.draws)
        noise = intervals.spread(draws, self.sizes)
        if against == "random":
            return intervals.difference(choice, draws, self.sizes, noise, noise, level)
        rows = self.arms[against]
        if against not in RIVALS or len(rows) == 1:
            return intervals.difference(choice, rows.mean(0)[None], self.sizes, noise, noise, level)
        _, rows = intervals.pair(self.arms["choice"], rows)
        theirs = intervals.spread(rows, self.sizes)
        own = max(noise, theirs, key=lambda one: one.draws)
        return intervals.difference(choice, rows, self.sizes, own, theirs, level)


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for being several, in the order given; one below the level is an answer.

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted.tolist()


def adjusted_answer(estimate: float, p: float, level: float) -> Answer:
    """What a corrected p-value says of a difference.

    >>> adjusted_answer(0.2, 0.01, 0.05), adjusted_answer(-0.2, 0.01, 0.05), adjusted_answer(0.2, 0.06, 0.05)
    ('better', 'worse', 'undecided')
    """
    return "undecided" if p >= level or not estimate else "better" if estimate > 0 else "worse"


def corrected(found: Mapping[str, Difference], level: float) -> dict[str, tuple[float, Answer]]:
    """Several comparisons asked together: the corrected p-value and answer of each, by name. The board uses it for methods, a
    verdict for arms and for tasks."""
    adjusted = holm([one.p for one in found.values()])
    return {
        name: (p, adjusted_answer(one.estimate, p, level))
        for (name, one), p in zip(found.items(), adjusted, strict=True)
    }


def bounds(found: Difference) -> dict[str, float]:
    """A difference for the verdict file."""
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def comparisons(measured: Measured, main: str, level: float) -> list[dict[str, Any]]:
    """The choice against every other arm, the main question first; all others are corrected together."""
    found = {name: measured.compare(name, level) for name in measured.others}
    first = found.pop(main)
    fixed = {main: (first.p, first.answer), **corrected(found, level)}
    return [
        {
            "against": name,
            "main": name == main,
            "difference": bounds(one),
            "p": one.p,
            "p_adjusted": fixed[name][0],
            "answer": fixed[name][1],
            "answer_alone": one.answer,
        }
        for name, one in {main: first, **found}.items()
    ]
