"""Time to quality: seconds until a loss is reached, with selection charged, beside random.

    with selection    selecting + s e B                 s seconds for each unit read, e passes over B units
    with random       k s e B                           k the data multiplier
    pays from         N with selecting = (k - 1) s e N

The last is the training size at which selection has paid for itself, if the multiplier there is what it is here and
selecting costs the same: it is a reading at the proxy's speed, where training costs least; a larger model pays sooner.
Source: time to a given loss as the measure of a method's worth, Kaddour et al. 2023, https://arxiv.org/abs/2307.06440.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.verify.arms import Plan
from assay.verify.judge import Result
from assay.verify.multiplier import Multiplier


def time_to_quality(
    selecting: float, results: Sequence[Result], plan: Plan, worth: Multiplier
) -> dict[str, float | bool | None] | None:
    """Seconds of selecting and training, of random to the same loss, their ratio (above 1: selection is sooner), and the units
    of data from which selection pays. None where nobody took the time of the trials.

    `bound`: the multiplier is only known to be at least this, so are random's seconds and the ratio, and selection pays at
    `pays_from` at the latest.
    """
    passes = max(len(arm.passes) for arm in plan.arms)
    seconds = {
        name: [one.seconds for one in results if one.name == name and one.budget == plan.budget]
        for name in ("choice", "random")
    }
    spent = [one for each in seconds.values() for one in each]
    if not spent or not sum(spent):
        return None
    each = float(np.mean(spent)) / (plan.budget * passes)
    times = worth.low if worth.estimate is None else worth.estimate
    training = float(np.mean(seconds["choice"]))
    random = None if times is None else times * each * plan.budget * passes
    return {
        "selecting_seconds": selecting,
        "training_seconds": training,
        "seconds": selecting + training,
        "random_seconds": random,
        "bound": worth.estimate is None and times is not None,
        "ratio": None if random is None else random / (selecting + training),
        "pays_from": pays_from(selecting, each * passes, times),
    }


def pays_from(selecting: float, each: float, times: float | None) -> int | None:
    """Units of data at which `selecting` seconds are earned back, at `each` seconds a unit; None if they never are.

    >>> pays_from(60.0, 0.001, 4.0), pays_from(60.0, 0.001, 0.9), pays_from(0.0, 0.001, 2.0)
    (20000, None, 0)
    """
    if times is None or times <= 1 or each <= 0:
        return None
    return int(np.ceil(selecting / (each * (times - 1))))
