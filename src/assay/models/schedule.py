"""The learning rate: warm-up, stable, linear decay to zero over the last fifth of each budget.

    rate(s) = peak · min(1, (s + 1) / warm) · min(1, (B − s) / (B / 5))        step s of a budget of B steps

Up to 4/5 of a budget the rate does not depend on the budget, so that one run (the trunk) gives several budgets: at 4/5
of each a branch leaves it, whose rate falls to zero at the budget's end, while the trunk goes on. Every branch is what a
run of just that budget would have been, to the bit.

Sources: Hu et al. 2024 (MiniCPM), https://arxiv.org/abs/2404.06395; Hägele et al. 2024, https://arxiv.org/abs/2405.18392,
who find 20 % of linear decay as good as a cosine of the same length.
"""

from __future__ import annotations

COOLING = 5  # the last 1 / COOLING of a budget


def branching(budget: int) -> int:
    """The step at which a budget's branch leaves the trunk.

    >>> branching(100), branching(3)
    (80, 2)
    """
    return budget - max(1, budget // COOLING)


def factor(step: int, warm: int, budget: int | None) -> float:
    """The share of the peak rate at a step; `budget`: the branch of that many steps, None: the trunk.

    >>> [round(factor(step, 4, 10), 2) for step in (0, 3, 7, 8, 9)]
    [0.25, 1.0, 1.0, 1.0, 0.5]
    """
    rising = min(1.0, (step + 1) / warm)
    return rising if budget is None else rising * min(1.0, (budget - step) / (budget - branching(budget)))
