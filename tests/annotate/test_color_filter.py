"""CoLoR-Filter: two n-gram models by hand, the sign, the mean, what the conditional model starts from, and who is declined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from command import assay, chosen, done, jsonl, packed

from assay.annotate.color_filter import ColorFilter
from assay.contracts import NOWHERE, Rows
from assay.errors import InputError, RecipeError
from assay.kernels.hashing import hash_rows
from assay.models import language, losses
from assay.models.language import language_of, torch_module
from assay.models.ngram import NGramConfig, train
from assay.types import Batch, Fitted, Signals, Texts

ROOT = Path(__file__).parent.parent.parent
PLAIN = [part.replace("\n", " ") for part in (ROOT / "LICENSE").read_text("utf-8").split("\n\n") if len(part) > 60]
SUMS = [
    f"{one} + {two} = {one + two}; {two} + {one} = {one + two}" for one in range(3, 60, 3) for two in range(5, 50, 20)
]


def batch(texts: list[str]) -> Batch:
    block = Texts.of(texts)
    return Batch(np.arange(len(texts)), hash_rows(block.data, block.offsets), {"text": block})


@dataclass(frozen=True)
class Few(Rows):
    """Rows in memory; a sample is of the smallest hashes, in row order."""

    texts: tuple[str, ...]

    def reduce(self, part: Callable, merge: Callable) -> Any:
        return part(batch(list(self.texts)))

    def sample(self, k: int) -> Batch:
        whole = batch(list(self.texts))
        rows = np.sort(np.argsort(whole.hashes, kind="stable")[:k])
        return Batch(rows, whole.hashes[rows], {"text": whole.text.take(rows)})

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Heard(Few):
    """Rows that remember how far somebody said to be."""

    said: list[tuple[str, int, int, str]]

    def tell(self, stage: str, done: int, total: int, unit: str, loss: float = np.nan) -> None:
        assert np.isfinite(loss)
        self.said.append((stage, done, total, unit))


def learnt(method: ColorFilter, pool: list[str], target: list[str] | None) -> Fitted:
    aims = None if target is None else Few(tuple(target))
    return method.learn(Few(tuple(pool)), aims, Signals({}), None, np.random.default_rng(3))


def scores(method: ColorFilter, found: Fitted, texts: list[str]) -> np.ndarray:
    models: dict[str, Any] = {"fitted": found}
    return method.annotate(batch(texts), {**models, "prepared": method.prepare(models)})["color_filter"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama of width 32 without weights, which reads with our tokenizer."""
    folder = tmp_path_factory.mktemp("tiny")
    transformers.LlamaConfig(
        vocab_size=2048, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


# --- The formula ------------------------------------------------------------------------------------------------------


def test_counted_by_hand() -> None:
    """Unigrams. The prior counts a, b and an end once each; n_2 = 0, so D(1) = 1/2: P(a) = .5/3 + g/257, g = 1.5/3.
    With the target "aa" the counts are 3, 1 and 2: D = 3/2, 1/2, 1, so P(a) = 1.5/6 + g/257, P(end) = 1/6 + g/257,
    P(b) = .5/6 + g/257, g = 3/6."""
    found = scores(ColorFilter(order=1), learnt(ColorFilter(order=1), ["ab"], ["aa"]), ["a", "aaa", "bb", "z"])
    share = 0.5 / 257
    before = {"a": 0.5 / 3 + share, "b": 0.5 / 3 + share, "z": share, "end": 0.5 / 3 + share}
    after = {"a": 1.5 / 6 + share, "b": 0.5 / 6 + share, "z": share, "end": 1 / 6 + share}
    gain = {one: np.log(after[one] / before[one]) for one in before}
    expected = [
        (gain["a"] + gain["end"]) / 2,
        (3 * gain["a"] + gain["end"]) / 4,
        (2 * gain["b"] + gain["end"]) / 3,
        (gain["z"] + gain["end"]) / 2,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert found[1] > found[0] > found[3] > found[2]


@pytest.mark.parametrize("conditional", ["continued", "target"])
def test_two_models_of_the_judges_kind(conditional: str) -> None:
    method, pool, target = ColorFilter(order=4, conditional=conditional), PLAIN[:20], SUMS[:20]
    asked = [*PLAIN[20:30], *SUMS[20:25], "", "日本語"]
    texts = Texts.of(asked)
    before = train([Texts.of(pool)], NGramConfig(4)).bits(texts)
    after = train([Texts.of([*(pool if conditional == "continued" else []), *target])], NGramConfig(4)).bits(texts)
    expected = (before - after) * np.log(2) / (texts.sizes + 1)
    np.testing.assert_allclose(scores(method, learnt(method, pool, target), asked), expected, rtol=1e-5, atol=1e-7)


def test_what_is_like_the_target_scores_high_for_either_model(tiny: str) -> None:
    pool, target, asked = [*PLAIN[:20], *SUMS[:5]], SUMS[5:40], [*PLAIN[20:], *SUMS[40:]]
    for method in (ColorFilter(), ColorFilter(model=tiny, epochs=40)):
        found = scores(method, learnt(method, pool, target), asked)
        sums, plain = found[len(PLAIN) - 20 :], found[: len(PLAIN) - 20]
        assert np.median(sums) > 0 and (sums[:, None] > plain).mean() > 0.95, method.model


def test_a_mean_so_that_length_alone_does_not_win() -> None:
    """Of a text that repeats, every further symbol gains the same: the total grows with it, the mean stays."""
    method = ColorFilter(order=1)
    once, often = scores(method, learnt(method, ["ab"], ["aa"]), ["a" * 200, "a" * 2000])
    assert often == pytest.approx(once, rel=0.02)


# --- What is trained --------------------------------------------------------------------------------------------------


def test_the_conditional_model_goes_on_from_the_prior(tiny: str) -> None:
    """After few steps on sums it still knows words that the prior has learnt; a model of the sums alone does not."""
    pool, target = PLAIN * 4, SUMS[:6]
    found = {}
    for conditional in ("continued", "target"):
        method = ColorFilter(model=tiny, conditional=conditional)
        arrays = learnt(method, pool, target).arrays
        kept = losses.reader(tiny, losses.under("conditional", arrays))(Texts.of(PLAIN)).mean()
        known = losses.reader(tiny, losses.under("prior", arrays))(Texts.of(PLAIN)).mean()
        found[conditional] = kept - known
    assert found["continued"] < 0.1 < 0.3 < found["target"]


def test_every_step_of_a_training_is_told(tiny: str) -> None:
    pool = Heard(tuple(PLAIN * 4), [])
    ColorFilter(model=tiny, epochs=9).learn(pool, Few(tuple(SUMS)), Signals({}), None, np.random.default_rng(3))
    for stage in ("color_filter learns the pool", "color_filter learns the target"):
        steps = [(done, total) for said, done, total, unit in pool.said if said == stage and unit == "steps"]
        assert steps == [(step + 1, len(steps)) for step in range(len(steps))] and steps, stage


def test_neither_order_nor_place_of_rows_changes_what_is_learnt(tiny: str) -> None:
    for method in (ColorFilter(prior=25), ColorFilter(model=tiny, prior=25)):
        one = learnt(method, [*PLAIN, *SUMS], SUMS[:9])
        two = learnt(method, [*PLAIN, *SUMS][::-1], SUMS[:9][::-1])
        assert one.arrays.keys() == two.arrays.keys()
        assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays), method.model


def test_neither_batch_nor_padding_nor_order_changes_a_loss(tiny: str) -> None:
    method = ColorFilter(model=tiny)
    found, asked = learnt(method, PLAIN[:5], SUMS[:5]), [*PLAIN[10:15], *SUMS[10:15], "", "a", "b " * 90]
    whole = scores(method, found, asked)
    alone = np.concatenate([scores(method, found, [text]) for text in asked])
    assert np.isfinite(whole).all() and np.abs(whole - alone).max() < 1e-5
    assert np.abs(scores(method, found, asked[::-1])[::-1] - whole).max() < 1e-5
    padded = scores(method, found, [*asked, "c " * 300])
    assert np.abs(padded[:-1] - whole).max() < 1e-5


def test_a_loss_is_the_librarys_own(tiny: str) -> None:
    """-ln P of all tokens and the end over their number, by the module itself."""
    texts = [text[:100] for text in PLAIN[:3]]
    arrays = losses.taught(language_of(tiny), language_of(tiny).encode(Texts.of(SUMS)), 1, 0, lambda *_: None, NOWHERE)
    model = torch_module("tuning").opened(language_of(tiny), arrays)
    for text, found in zip(texts, losses.reader(tiny, arrays)(Texts.of(texts)), strict=True):
        ids = [0, *language._tokenizer(language_of(tiny).tokenizer).encode(text).ids, 0]
        given = transformers.models.llama.modeling_llama.torch.tensor([ids])
        assert found == pytest.approx(model.module(given, labels=given).loss.item(), rel=1e-5)


def test_rows_of_the_prior_may_be_declined() -> None:
    pool = [*PLAIN, *SUMS]
    sample = set(np.sort(batch(pool).hashes)[:25].tolist())
    inside = np.array([one in sample for one in batch(pool).hashes.tolist()])
    kept, declined = (ColorFilter(prior=25, seen=seen) for seen in ("scored", "declined"))
    found = scores(kept, learnt(kept, pool, SUMS[:9]), pool)
    assert np.isfinite(found).all()
    assert np.isnan(scores(declined, learnt(declined, pool, SUMS[:9]), pool)).tolist() == inside.tolist()


# --- The command, and sentences ---------------------------------------------------------------------------------------


def test_the_command_keeps_int_of_n_over_tau_rows_the_first_too(tmp_path: Path) -> None:
    """N = 30 rows, τ = 12: int(30 / 12) = 2. Row 0 is one of them; a list of rows that ends in it must not lose it."""
    rows = [{"text": SUMS[30]}, *({"text": text} for text in PLAIN), {"text": SUMS[31]}]
    pool, target = (
        jsonl(tmp_path / "pool.jsonl", rows),
        jsonl(tmp_path / "target.jsonl", [{"text": one} for one in SUMS[:20]]),
    )
    measure = f'{{ annotate = "color_filter", order = 2, target = "{target}" }}'
    keep = '{ select = "top_k", rank = "color_filter", budget = "8.33%" }'
    recipe = packed(tmp_path / "recipe.toml", f"steps = [{measure}, {keep}]\n".encode())
    done(pool, "--recipe", recipe, "--out", tmp_path / "run")
    assert len(rows) == 30 and chosen(tmp_path / "run") == [0, 29]


def test_the_recipe_that_ships_opens_a_causal_model(tmp_path: Path, tiny: str) -> None:
    pool = jsonl(tmp_path / "pool.jsonl", [{"text": text} for text in [*PLAIN, *SUMS[20:30]]])
    target = jsonl(tmp_path / "target.jsonl", [{"text": one} for one in SUMS[:20]])
    told = ("--method", "color_filter", "--model", tiny, "--set", "color_filter.epochs=40", "--budget", "10")
    done(pool, *told, "--target", target, "--out", tmp_path / "run")
    assert chosen(tmp_path / "run") == list(range(28, 38))


def test_another_content_of_a_model_is_another_method(tmp_path: Path, tiny: str) -> None:
    """What the store names results by: a folder that has changed, not only its path."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = (Path(tiny) / "config.json").read_text("utf-8")
    (folder / "config.json").write_text(config, "utf-8")
    before = repr(ColorFilter(model=str(folder)))
    language.content.cache_clear()
    (folder / "config.json").write_text(config + " ", "utf-8")
    assert before != repr(ColorFilter(model=str(folder))) and "order=4" in before
    assert repr(ColorFilter()) != repr(replace(ColorFilter(), order=5))


def test_sentences(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match="conditional must be continued or target; got 'continue': did you mean 'continued'"
    ):
        ColorFilter(conditional="continue")
    with pytest.raises(RecipeError, match="seen must be scored or declined"):
        ColorFilter(seen="both")
    with pytest.raises(RecipeError, match="order must be from 1 to 8; got 9"):
        ColorFilter(order=9)
    with pytest.raises(InputError, match=r"color_filter needs a target.*target = FILE"):
        learnt(ColorFilter(), PLAIN, None)
    with pytest.raises(InputError, match="needs a target with text"):
        learnt(ColorFilter(), PLAIN, ["", ""])
    with pytest.raises(RecipeError, match="did you mean 'lm-nano'"):
        learnt(ColorFilter(model="lm-nan"), PLAIN, SUMS)
    pool = jsonl(tmp_path / "pool.jsonl", [{"text": text} for text in PLAIN])
    said = assay(
        "select", pool, "--method", "color_filter", "--budget", "5", "--out", tmp_path / "run", "-q", "--workers", "1"
    )
    assert "color_filter needs a target" in said.sentence
