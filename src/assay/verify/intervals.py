"""Is a choice better than random: a prediction interval for a paired difference of bits per byte (or of errors).

    M(x) = sum_i x_i / sum_i b_i                    bits per byte of one arm on documents i with b_i bytes
    D    = mean_j M(r_j) - M(c)                     random minus choice: positive is better
    V    = s^2 (1 + 1/m)                            one more draw of random would differ by this much
         + max(0, v(c, mean r) - u (1 + 1/m))       what other documents would have said, beyond what s^2 holds already
    D -+ t_f sqrt(V)

s^2 is the variance of M(r_j) over m draws; v the variance of D over documents (paired, ratio estimator); u the same
for one draw of random against the others. A spread measured on the same documents contains u, so only what exceeds
it is added: under the null the second line is about zero and the test is the exact t prediction interval.

Where a judge has randomness of its own (initial weights), the choice too is trained once for each seed j, from the same
initial weights as random's draw j, and s^2 is the variance of the paired differences:

    D_j = M(r_j) - M(c_j)        D = mean_j D_j        s^2 = var_j(D_j)

`pair` brings this to the formula above: draws r_j - c_j + mean c, choice mean c. Write M(r_j) = mu + a_j + w_j + e_j and
M(c_j) = nu + A + w_j + f_j: a and A are draws of data (A one draw, the same for every j), w initial weights, e and f how
a draw fares with its weights. w cancels. D misses mu - nu by mean a - A + mean(e - f), of variance
a^2 (1 + 1/m) + (e^2 + f^2)/m; the formula charges (a^2 + e^2 + f^2)(1 + 1/m). So it is never too small: too large by
e^2 + f^2, because one choice's luck with its weights, averaged over m seeds, is charged as if it were seen once.

Guarantee: where the choice is itself a random draw and metrics are near normal, a false verdict happens with
probability `level` (measured: docs/verify.md).
Sources: Hahn and Meeker, Statistical Intervals, 1991, chapter 4 (prediction of one further observation),
https://doi.org/10.1002/9780470316771; Welch 1947, https://doi.org/10.1093/biomet/34.1-2.28 (degrees of freedom);
Cochran, Sampling Techniques, 1977, chapter 6 (ratio estimator, its variance by the jackknife).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from assay.errors import InputError, RecipeError

Answer = Literal["better", "worse", "undecided"]
LEAST_DRAWS = 3
LEAST_DOCUMENTS = 2
MOST_SEEDS = 1_000  # beyond so many nobody waits for the answer


@final
@dataclass(frozen=True)
class Spread:
    """How much one draw of random differs from the next, in bits per byte squared.

    `draws` is the variance over draws of the metric on these documents (it contains the documents' part),
    `documents` the part of it that other documents would change, `count` the number of draws. One document alone
    cannot say what others would change: its part is zero, and the interval is over draws only.
    """

    draws: float
    documents: float
    count: int


@final
@dataclass(frozen=True)
class Parts:
    """What the variance of a difference is made of: own + other / arms + documents.

    `own` is charged to the choice whatever the number of draws, `other` to each of the reference's `arms` (draws of it, or
    one fixed arm); `documents` comes on top, with degrees of freedom of its own; `count` draws told all this.
    """

    own: float
    other: float
    arms: int
    documents: float
    degrees: float
    count: int

    def variance(self, count: int) -> float:
        """The same from `count` draws, if what one draw differs by stays as found."""
        return self.own + self.other * self._share(count) + self.documents

    def freedom(self, count: int) -> float:
        """Degrees of freedom (Welch and Satterthwaite) from `count` draws; infinite without any variance."""
        drawn = self.own + self.other * self._share(count)
        parts = drawn**2 / (count - 1.0) + self.documents**2 / self.degrees
        return self.variance(count) ** 2 / parts if parts > 0 else float("inf")

    def _share(self, count: int) -> float:
        return 1 / (self.arms if count == self.count or self.arms == 1 else count)


@final
@dataclass(frozen=True)
class Difference:
    """Reference minus choice (positive: the choice is better), its interval, and what follows; `p` is two-sided."""

    estimate: float
    low: float
    high: float
    p_better: float
    answer: Answer
    degrees: float
    p: float
    parts: Parts


def metric(bits: Float[np.ndarray, "*a d"], sizes: Int[np.ndarray, "d"]) -> Float[np.ndarray, "*a"]:
    """Bits per byte: total bits over total bytes.

    >>> float(metric(np.array([8.0, 4.0]), np.array([2, 4])))
    2.0
    """
    return bits.sum(-1) / sizes.sum()


def spread(draws: Float[np.ndarray, "m d"], sizes: Int[np.ndarray, "d"]) -> Spread:
    """Draw-to-draw variance of random's metric, and the share of it that is owed to these documents."""
    count = len(draws)
    owed = float((_jackknife(draws - draws.mean(0), sizes) ** 2).sum()) / (count - 1)
    return Spread(float(metric(draws, sizes).var(ddof=1)), owed, count)


def _jackknife(gaps: Float[np.ndarray, "*a d"], sizes: Int[np.ndarray, "d"]) -> Float[np.ndarray, "*a d"]:
    """How far the metric moves when one document is left out, scaled so that the squares sum to its variance."""
    if len(sizes) == 1:
        return np.zeros(gaps.shape)
    documents, share = len(sizes), sizes / sizes.sum()
    moved = gaps / sizes.sum() - np.asarray(metric(gaps, sizes))[..., None] * share
    return moved / (1 - share) * ((documents - 1) / documents) ** 0.5


def documents_variance(gaps: Float[np.ndarray, "d"], sizes: Int[np.ndarray, "d"]) -> tuple[float, float]:
    """Variance over documents of a paired difference of metrics, and its degrees of freedom.

    The degrees come from the residuals' fourth moment (Satterthwaite), so that one huge document among many small
    ones counts as the little evidence that it is; for equal normal residuals they are d - 1.
    """
    squares = _jackknife(gaps, sizes) ** 2
    variance, fourth, most = float(squares.sum()), float((squares**2).sum()), len(gaps) - 1.0
    degrees = 3 * variance**2 / fourth if fourth > 0 else most
    return variance, float(np.clip(degrees, 1.0, max(1.0, most)))


def pair(
    choice: Float[np.ndarray, "j d"], draws: Float[np.ndarray, "*a m d"]
) -> tuple[Float[np.ndarray, "d"], Float[np.ndarray, "*a m d"]]:
    """A choice and the draws to compare it with, from one result of the choice for each draw, or one for all (which
    changes nothing): what seeds do to both leaves the draws.

    >>> choice, draws = pair(np.array([[1.0, 2], [2, 3]]), np.array([[3.0, 4], [4, 5]]))
    >>> choice.tolist(), draws.tolist()
    ([1.5, 2.5], [[3.5, 4.5], [3.5, 4.5]])
    """
    if len(choice) == 1:
        return choice[0], draws
    mean = choice.mean(0)
    return mean, draws - choice + mean


def difference(
    choice: Float[np.ndarray, "d"],
    reference: Float[np.ndarray, "k d"],
    sizes: Int[np.ndarray, "d"],
    own: Spread,
    other: Spread,
    level: float = 0.05,
) -> Difference:
    """Compare a choice with the mean of k reference arms; `own` is charged once, `other` divided by k.

    With random at the same budget as reference, `own` and `other` are the same spread. With one fixed reference (k = 1)
    each of the two is charged the whole spread of random. Both spreads come from the same draws, so their degrees are
    m - 1 together, not the sum.
    """
    gaps = reference.mean(0) - choice
    seen, seen_degrees = documents_variance(gaps, sizes)
    extra = max(0.0, seen - own.documents - other.documents * (1 / len(reference)))
    parts = Parts(own.draws, other.draws, len(reference), extra, seen_degrees, own.count)
    return _verdict(float(metric(gaps, sizes)), parts, level)


def _verdict(estimate: float, parts: Parts, level: float) -> Difference:
    variance, degrees = parts.variance(parts.count), parts.freedom(parts.count)
    if variance <= 0:  # every draw is the same arm (the budget is the pool): equal is undecided, else plain
        sign, told = float(np.sign(estimate)), answer(estimate, estimate)
        return Difference(
            estimate, estimate, estimate, (1 + sign) / 2, told, parts.count - 1.0, float(sign == 0), parts
        )
    half = float(stats.t.ppf(1 - level / 2, degrees)) * variance**0.5
    scaled = estimate / variance**0.5
    p_better, p = float(stats.t.cdf(scaled, degrees)), float(2 * stats.t.sf(abs(scaled), degrees))
    low, high = estimate - half, estimate + half
    return Difference(estimate, low, high, p_better, answer(low, high), degrees, p, parts)


def seeds_to_settle(found: Difference, level: float = 0.05, most: int = MOST_SEEDS) -> int | None:
    """The smallest number of seeds with which the interval would leave out zero, if the estimate and what one draw differs by
    stay as found. None where no number up to `most` would (a choice is one draw, and more seeds do not make it two) or
    where the answer is known already.

    >>> sizes, draws = np.array([10]), np.array([[21.0], [20], [22], [21]])
    >>> noise = spread(draws, sizes)
    >>> [seeds_to_settle(difference(np.array([bits]), draws, sizes, noise, noise)) for bits in (18.8, 20.9, 5.0)]
    [7, None, None]
    """
    if found.estimate == 0 or found.low == found.high:
        return None
    counts = range(found.parts.count, most + 1)
    variances = np.array([found.parts.variance(count) for count in counts])
    degrees = np.array([found.parts.freedom(count) for count in counts])
    enough = np.flatnonzero(stats.t.ppf(1 - level / 2, degrees) * variances**0.5 < abs(found.estimate))
    return counts[int(enough[0])] if len(enough) and enough[0] else None


def answer(low: float, high: float) -> Answer:
    """`better` when the whole interval is above zero, `worse` when it is below.

    >>> answer(0.1, 0.2), answer(-0.1, 0.2), answer(-0.2, -0.1)
    ('better', 'undecided', 'worse')
    """
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def against_random(
    choice: Float[np.ndarray, "d"], draws: Float[np.ndarray, "m d"], sizes: Int[np.ndarray, "d"], level: float = 0.05
) -> Difference:
    """The choice against m draws of random at the same budget.

    >>> sizes = np.array([10, 10, 10])
    >>> draws = np.array([[20.0, 21, 22], [21, 20, 22], [20, 21, 23]])
    >>> against_random(np.array([10.0, 11, 12]), draws, sizes).answer
    'better'
    """
    check(draws.shape[0], len(sizes))
    noise = spread(draws, sizes)
    return difference(choice, draws, sizes, noise, noise, level)


def against_fixed(
    choice: Float[np.ndarray, "d"],
    reference: Float[np.ndarray, "d"],
    draws: Float[np.ndarray, "m d"],
    sizes: Int[np.ndarray, "d"],
    level: float = 0.05,
) -> Difference:
    """The choice against another fixed choice at the same budget: each is one draw, each is charged random's spread."""
    check(draws.shape[0], len(sizes))
    noise = spread(draws, sizes)
    return difference(choice, reference[None], sizes, noise, noise, level)


def check(draws: int, documents: int) -> None:
    """Raise a sentence where there is too little to judge by."""
    if draws < LEAST_DRAWS:
        raise RecipeError(f"verify needs at least {LEAST_DRAWS} seeds, to know how much random varies; got {draws}")
    if documents < LEAST_DOCUMENTS:
        raise InputError(
            f"the eval set must hold at least {LEAST_DOCUMENTS} documents with text; got {documents}: "
            "give more documents, or split a long one into several rows"
        )
