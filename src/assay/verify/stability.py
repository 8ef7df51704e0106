"""Several proxies: the last one decides, and whether they agree is said.

A ranking is stable where every proxy gives the choice the same answer and puts the arms in the same order: the rank
correlation (Spearman's, mean ranks for ties) between the arms' mean metrics, the lowest over all pairs of proxies, is at
least 0.8. With three arms or fewer that is the same order exactly. Small proxies rank data sets as larger ones do more
often than they predict their losses (Magnusson et al. 2025, https://arxiv.org/abs/2504.11393), so an order that changes
between two sizes is a reason not to trust either. Source: Spearman 1904, https://doi.org/10.2307/1412159.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

Facts = Mapping[str, Any]
LEAST = 0.8


def together(found: Sequence[Facts]) -> dict[str, Any]:
    """The verdicts of each proxy in order as one: the last with every proxy's answer, and whether the ranking is stable; one
    verdict alone is left as it is."""
    last = dict(found[-1])
    if len(found) == 1:
        return last
    ranks = ranking(found)
    said = f"{last['sentence']} {ranks['sentence']}"
    return {**last, "proxies": [_short(one) for one in found], "ranking": ranks, "sentence": said}


def _short(facts: Facts) -> dict[str, Any]:
    kept = "answer p_better difference multiplier multiplier_power_law metric budget scope seeds_to_settle".split()
    return {
        "name": facts["judge"]["name"],
        **{key: facts.get(key) for key in kept},
        "arms": means(facts),
    }


def means(facts: Facts) -> dict[str, float]:
    """Every compared arm's metric, the mean over its results; the pool is no competitor."""
    names = dict.fromkeys(arm["name"] for arm in facts["arms"] if arm["name"] != "pool")
    return {name: float(np.mean([arm["metric"] for arm in facts["arms"] if arm["name"] == name])) for name in names}


def ranking(found: Sequence[Facts]) -> dict[str, Any]:
    """Whether proxies agree on the arms that all of them have.

    >>> facts = [{"judge": {"name": name}, "answer": "better", "arms": [{"name": arm, "metric": value} for arm, value in arms]}
    ...     for name, arms in (("ngram", [("choice", 2.0), ("random", 2.5)]), ("lm-nano", [("choice", 1.9), ("random", 2.1)]))]
    >>> ranking(facts)["sentence"]
    'The ranking is stable over ngram and lm-nano (rank correlation 1.0).'
    """
    told = [means(one) for one in found]
    shared = [name for name in told[-1] if all(name in one for one in told)]
    levels = np.array([[one[name] for name in shared] for one in told])
    correlation = min((_spearman(a, b) for a, b in combinations(levels, 2)), default=None) if len(shared) > 1 else None
    answers = [one["answer"] for one in found]
    agree = len(set(answers)) == 1
    stable = agree and (correlation is None or correlation >= LEAST)
    names = [one["judge"]["name"] for one in found]
    return {
        "stable": stable,
        "correlation": correlation,
        "answers_agree": agree,
        "arms": shared,
        "sentence": _sentence(names, answers, correlation, stable),
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; where one of them knows no order at all, 0."""
    a, b = stats.rankdata(a), stats.rankdata(b)
    return round(float(np.corrcoef(a, b)[0, 1]), 12) if np.ptp(a) and np.ptp(b) else 0.0


def _sentence(names: Sequence[str], answers: Sequence[str], correlation: float | None, stable: bool) -> str:
    over = " and ".join([", ".join(names[:-1]), names[-1]])
    known = [] if correlation is None else [f"rank correlation {correlation:.1f}"]
    split = (
        []
        if len(set(answers)) == 1
        else [", ".join(f"{one} with {name}" for name, one in zip(names, answers, strict=True))]
    )
    why = "; ".join(known + split)
    return f"The ranking is {'' if stable else 'not '}stable over {over}{f' ({why})' if why else ''}."
