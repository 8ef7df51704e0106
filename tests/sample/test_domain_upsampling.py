"""Domain upsampling: the switch at its step, the mixtures in what is drawn, and its pitfalls. There is no released code."""

from __future__ import annotations

import numpy as np
import pytest
from domains import begun, drawn

from assay import catalog
from assay.errors import RecipeError
from assay.sample.domain_upsampling import DomainUpsampling
from assay.types import Signals


@pytest.mark.parametrize(("steps", "share", "last"), [(10, 0.2, 2), (100, 0.15, 15), (7, 0.5, 4), (1000, 0.1, 100)])
def test_the_mixture_changes_for_the_last_share_of_the_steps(steps: int, share: float, last: int):
    method = DomainUpsampling(steps=steps, share=share, before=(1.0, 3.0), after=(1.0, 0.0))
    state, seen = begun(method, [4, 4]), []
    for _ in range(steps + 3):
        seen.append(state["weights"].tolist())
        state = method.update(state, np.array([0]), {}, Signals({}))
    assert seen == [[0.25, 0.75]] * (steps - last) + [[1.0, 0.0]] * (last + 3)


def test_by_size_before_and_all_alike_after_unless_told():
    state = begun(DomainUpsampling(), [6, 2])
    assert state["before"].tolist() == [0.75, 0.25] and state["after"].tolist() == [0.5, 0.5]


def test_what_is_drawn_has_the_mixture_of_its_phase():
    """1,600 rows of 8:1:1, then 400 of 1:1:2; each share within four standard errors."""
    method = DomainUpsampling(steps=100, share=0.2, before=(8, 1, 1), after=(1, 1, 2))
    batches, state = drawn(method, [5000, 5000, 5000], 100, 20)
    for part, shares in ((batches[:80], [0.8, 0.1, 0.1]), (batches[80:], [0.25, 0.25, 0.5])):
        source = state["source"][np.concatenate(part)]
        for domain, share in enumerate(shares):
            assert abs(np.mean(source == domain) - share) < 4 * (share * (1 - share) / len(source)) ** 0.5


def test_the_last_phase_goes_on_with_rows_that_were_not_read():
    batches, _ = drawn(DomainUpsampling(steps=20, share=0.5), [300, 300], 20, 10)
    rows = np.concatenate(batches).tolist()
    assert len(set(rows)) == len(rows)


def test_a_domain_left_out_of_the_last_phase_is_not_drawn_there():
    method = DomainUpsampling(steps=20, share=0.5, after=(1.0, 0.0, 1.0))
    batches, state = drawn(method, [30, 30, 30], 20, 10)
    source = state["source"]
    assert (source[np.concatenate(batches[:10])] == 1).any() and not (source[np.concatenate(batches[10:])] == 1).any()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"share": 0.0}, "share"),
        ({"share": 1.0}, "share"),
        ({"steps": 0}, "steps"),
        ({"after": (1.0,)}, "after must be a weight for each of 2"),
        ({"before": (1.0, -1.0)}, "before"),
        ({"after": (0.0, 0.0)}, "after"),
        ({"after": (float("nan"), 1.0)}, "after"),
    ],
)
def test_wrong_parameters_are_refused_by_name(parameters: dict, said: str):
    with pytest.raises(RecipeError, match=said):
        begun(catalog.build("sample", "domain_upsampling", parameters), [4, 4])
