"""GOT-D: rows that move the base model's data towards the target, by the gradient of optimal transport in their mass.

    OT(μ, ν) = min_π Σ_ij π_ij C(x_i, y_j)   over π ≥ 0 with row sums μ and column sums ν;   duals f, g
    ∂OT/∂μ_i = f_i − Σ_{k≠i} f_k / (m − 1)               mass that x_i gains is taken from all others alike
    f(x)     = min_j C(x, y_j) − g_j                      exact (entropy = 0)
    f(x)     = −ε log Σ_j exp((g_j − C(x, y_j)) / ε)      with ε Σ π (log π − 1) added to the cost (entropy > 0)
    s(x)     = −(f(x) − f̄) m / (m − 1)                   f̄ the mean over μ

μ is a sample of m rows of the pool, which stands for what the base model has read (as in the paper: choose from a pool like it), ν
one of the target's t examples, both uniform. What lies near the target and is rare in μ scores high; what the base has plenty of
does not, however near it is: that is the difference to likeness. To rank by s and take the best is the paper's choice: the most
negative gradients.

Guarantee: for a row of the sample s is exactly minus its calibrated gradient; a row beyond it has what its mass would add, by the
c-transform of the dual. The score depends on the row and the fit alone. A row without an embedding has none.
Source: Kang, Just, Sun, Jahagirdar, Zhang, Du, Sahu and Jia, Get More for Less: Principled Data Selection for Warming Up
Fine-Tuning in LLMs, 2024, https://arxiv.org/abs/2405.02774; calibrated gradients: Just et al., LAVA, 2023,
https://arxiv.org/abs/2305.00054; entropic transport: Cuturi, Sinkhorn Distances, 2013, https://arxiv.org/abs/1306.0895.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, final

import numpy as np
from jaxtyping import Float64, Shaped

from assay.contracts import Rows, Scorer
from assay.errors import InputError, MissingExtra, RecipeError
from assay.models.cosine import unit
from assay.types import Batch, Fitted

_COSTS = ("euclidean", "squared", "cosine")
_CELLS = 1 << 22  # costs that are held at once
_STEPS, _EXACT = 10_000, 1e-9  # of Sinkhorn: most steps, and how near the sums must be
_PLAIN = 500.0  # up to this C / ε, exp(−C / ε) is a number and not zero


class _Dual(NamedTuple):
    """The potential of the target's examples, what the transport costs, and how far its sums are off."""

    potential: Float64[np.ndarray, "t"]
    cost: float
    error: float


@final
@dataclass(frozen=True)
class GotD(Scorer):
    """Minus the calibrated gradient of optimal transport.

    of         the signal that holds the embeddings
    cost       C: `euclidean`, `squared` (its square), or `cosine` (one minus it)
    entropy    ε in mean costs; 0: exact transport, which takes m³
    sample     rows of the pool and examples of the target at most, those whose content hashes are smallest (2 to 20,000)
    relevant   the share of the pool that may be chosen: the rows nearest to an example of the target; the others have no score

    >>> GotD(of="states", entropy=0.0).reads
    ('states',)
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2405.02774"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("embeddings",)

    of: str = "embed"
    cost: str = "euclidean"
    entropy: float = 0.05
    sample: int = 2048
    relevant: float = 1.0

    def __post_init__(self) -> None:
        for name, least, most in (("entropy", 0, 100), ("sample", 2, 20_000), ("relevant", 1e-6, 1)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"got_d: {name} must be from {least:g} to {most:,}; got {getattr(self, name)}")
        if self.cost not in _COSTS:
            raise RecipeError(f"got_d: cost must be one of {', '.join(_COSTS)}; got {self.cost!r}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The embeddings."""
        return (self.of,)

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """`examples (t, d)`, their dual `potential (t,)`, and `scale (4,)`: ε, f̄, m / (m − 1), and the largest relevant cost.

        Raises InputError where there is no target or a side has no embedding, MissingExtra without the library POT.
        """
        if target is None:
            raise InputError("got_d needs a target, some examples like those that you want; name it with --target")
        base, examples = (self._sampled(rows, name) for rows, name in ((pool, "pool"), (target, "target")))
        if len(base) < 2:
            raise InputError(f"got_d needs a pool of at least two rows with {self.of!r}; got {len(base)}")
        costs = self._costs(base, examples)
        epsilon = self.entropy * float(costs.mean())
        dual = _transport(costs, epsilon)
        mean = float(_potential(costs, dual.potential, epsilon).mean())
        near = np.sort(costs.min(axis=1))[max(0, round(self.relevant * len(base)) - 1)] if self.relevant < 1 else np.inf
        scale = np.array([epsilon, mean, len(base) / (len(base) - 1), near])
        notes = {
            "base_rows": len(base),
            "target_examples": len(examples),
            "transport": dual.cost,
            "marginal_error": dual.error,
        }
        return Fitted({"examples": examples, "potential": dual.potential, "scale": scale}, notes)

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """s of every row; NaN for one that is not relevant."""
        examples, potential = (np.asarray(fitted.arrays[name]) for name in ("examples", "potential"))
        epsilon, mean, factor, near = fitted.arrays["scale"].tolist()
        vectors, size, parts = batch.columns[self.of], max(1, _CELLS // len(examples)), [np.zeros(0)]
        for start in range(0, len(batch), size):
            costs = self._costs(np.asarray(vectors[start : start + size], np.float64), examples)
            found = -factor * (_potential(costs, potential, epsilon) - mean)
            parts.append(np.where(costs.min(axis=1) <= near, found, np.nan))
        return np.concatenate(parts)

    def _sampled(self, rows: Rows, name: str) -> Float64[np.ndarray, "k d"]:
        vectors = np.asarray(rows.sample(self.sample).columns[self.of], np.float64)
        vectors = vectors[np.isfinite(vectors).all(axis=1)]
        if not len(vectors):
            raise InputError(f"got_d needs a {name} with embeddings; no row of it has {self.of!r}")
        return vectors

    def _costs(
        self, rows: Float64[np.ndarray, "b d"], examples: Float64[np.ndarray, "t d"]
    ) -> Float64[np.ndarray, "b t"]:
        """C; products are rounded, because a library sums a block in an order that depends on the block's shape."""
        if self.cost == "cosine":
            return 1 - (unit(rows) @ unit(examples).T).astype(np.float32).astype(np.float64)
        products = (rows @ examples.T).astype(np.float32).astype(np.float64)
        squared = np.maximum((rows**2).sum(axis=1)[:, None] + (examples**2).sum(axis=1) - 2 * products, 0)
        return squared if self.cost == "squared" else np.sqrt(squared)


def _potential(
    costs: Float64[np.ndarray, "b t"], dual: Float64[np.ndarray, "t"], epsilon: float
) -> Float64[np.ndarray, "b"]:
    """f of rows by the c-transform: what one unit of mass there would cost."""
    left = costs - dual
    least = left.min(axis=1)
    if epsilon == 0:
        return least
    return least - epsilon * np.log(np.exp((least[:, None] - left) / epsilon).sum(axis=1))


def _transport(costs: Float64[np.ndarray, "k t"], epsilon: float) -> _Dual:
    """The dual of the examples, by the library POT, between uniform masses."""
    library = _pot()
    masses = [np.full(count, 1 / count) for count in costs.shape]
    if epsilon == 0:
        plan, log = library.emd(*masses, costs, numItermax=10_000_000, log=True)
        return _Dual(log["v"], float(log["cost"]), _off(plan, masses))
    method = "sinkhorn" if costs.max() < _PLAIN * epsilon else "sinkhorn_log"
    plan, log = library.sinkhorn(
        *masses, costs, epsilon, method, numItermax=_STEPS, stopThr=_EXACT, log=True, warn=False
    )
    dual = epsilon * (log["log_v"] if "log_v" in log else np.log(log["v"]))
    return _Dual(dual, float((plan * costs).sum()), _off(plan, masses))


def _off(plan: Shaped[np.ndarray, "k t"], masses: list[np.ndarray]) -> float:
    """The sum of what the plan's own sums are off."""
    return float(sum(np.abs(plan.sum(axis=1 - side) - mass).sum() for side, mass in enumerate(masses)))


def _pot() -> Any:
    try:
        import ot
    except ImportError:
        raise MissingExtra.of("got_d", "geometry") from None
    return ot
