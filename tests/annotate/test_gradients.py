"""Gradients at checkpoints: by hand, against a step of Adam, on both sides; the warm-up; the command end to end."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
import transformers
from command import chosen, done, jsonl, manifest, select, told

from assay.annotate.gradients import Gradients
from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.kernels.hashing import hash_rows
from assay.models import influence, language, tuning
from assay.models.causal_model import Causal, one_thread
from assay.models.dialogue import Turn, marked
from assay.models.gradients import Checkpoint, Differentiator, Rule, flat, found, pieces, put
from assay.models.language import language_of
from assay.models.projection import Projection
from assay.score.less import Less
from assay.types import Batch, Fitted, Sequences, Signals, Texts

SUMS = [f"{a} plus {b} is {a + b}. So {a + b} less {b} is {a}." for a in range(3, 9) for b in range(11, 17)]
PLAIN = [
    "The sea was calm and the boats lay still in the harbour.", "Bread needs flour, water, salt and time.",
    "She read the letter twice and put it away.", "Old houses have thick walls and small windows.",
    "A letter came from the north with news of snow.", "The cat sleeps where the sun falls on the floor.",
]  # fmt: skip
TALK = [marked([Turn("user", f"What is {a} plus {a}?"), Turn("assistant", f"It is {2 * a}.")]) for a in range(4)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the config of a very small Llama, with 34,000 weights over our tokens."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    transformers.LlamaConfig(
        vocab_size=2048, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
        architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


def batch(texts: list[str]) -> Batch:
    block = Texts.of(texts)
    return Batch(np.arange(len(texts)), hash_rows(block.data, block.offsets), {"text": block})


@dataclass(frozen=True)
class Few(Rows):
    texts: tuple[str, ...]

    def reduce(self, part: Any, merge: Any) -> Any:
        return part(batch(list(self.texts)))

    def sample(self, k: int) -> Batch:
        whole = batch(list(self.texts))
        rows = np.sort(np.argsort(whole.hashes, kind="stable")[:k])
        return Batch(rows, whole.hashes[rows], {"text": whole.text.take(rows)})

    def __len__(self) -> int:
        return len(self.texts)


def small(tiny: str, **given: Any) -> Gradients:
    """On a model that begins with initial weights, all of which are trained."""
    fixed = {"model": tiny, "epochs": 2, "warmup": 0.5, "precision": "float32", "width": 65536, "adapters": "none"}
    return Gradients(**{**fixed, **given})


def learnt(method: Gradients, texts: list[str] = SUMS) -> Fitted:
    return method.learn(Few(tuple(texts)), None, Signals({}), None, np.random.default_rng(3))


def columns(method: Gradients, fitted: Fitted, texts: list[str]) -> dict[str, Any]:
    opened = {"fitted": fitted}
    return method.annotate(batch(texts), {**opened, "prepared": method.prepare(opened)})


def at(tiny: str, fitted: Fitted, place: int, adapters: Any = None) -> Causal:
    """The model at a checkpoint."""
    model = tuning.untrained(language_of(tiny).config, adapters, int(fitted.arrays["seed"][0]))
    put(model, fitted.arrays[f"weights_{place}"])
    return model


def slope(model: Causal, documents: Sequences) -> np.ndarray:
    """The gradient of the mean loss of one document, by the library's own logits and PyTorch's own loss, in one piece."""
    (piece,) = pieces(documents.data, replace(model.config, context=10**6))
    model.module.zero_grad()
    with one_thread():
        logits = model.module(torch.from_numpy(piece.inputs), use_cache=False).logits[0]
        F.cross_entropy(logits, torch.from_numpy(piece.targets[0]), ignore_index=-1).backward()
    return flat([one.grad.numpy() for _, one in tuning.trained(model)])


def loss(model: Causal, documents: Sequences) -> float:
    (piece,) = pieces(documents.data, replace(model.config, context=10**6))
    with torch.no_grad():
        logits = model.module(torch.from_numpy(piece.inputs), use_cache=False).logits[0].double()
        return float(F.cross_entropy(logits, torch.from_numpy(piece.targets[0]), ignore_index=-1))


# --- The gradient and the direction -----------------------------------------------------------------------------------


def test_a_gradient_is_of_the_mean_over_responses_alone(tiny: str) -> None:
    method = small(tiny)
    fitted = learnt(method)
    model, checkpoint = at(tiny, fitted, 0), found(fitted.arrays, 2)[0]
    documents = language_of(tiny).encode_turns(Texts.of(TALK[:2]))
    assert (documents.data < 0).any() and documents.sizes.max() < 64
    rows = [one.copy() for one in Differentiator(at(tiny, fitted, 1), 2048).rows(documents, checkpoint)]
    for place, row in enumerate(rows):
        np.testing.assert_allclose(row, slope(model, documents.take(np.array([place]))), rtol=1e-3, atol=1e-6)


def test_a_long_row_is_read_in_pieces_and_counts_every_symbol_once(tiny: str) -> None:
    """Two contexts and a half: the sum of the pieces' losses over all symbols; what is too long is cut off."""
    fitted = learnt(small(tiny))
    model, checkpoint = at(tiny, fitted, 1), found(fitted.arrays, 2)[1]
    symbols = np.random.default_rng(2).integers(1, 2048, 160).astype(np.int32)
    one = Sequences(symbols, np.array([0, 160]))
    model.module.zero_grad()
    for piece in pieces(symbols, model.config):
        logits = model.module(torch.from_numpy(piece.inputs), use_cache=False).logits[0]
        F.cross_entropy(logits, torch.from_numpy(piece.targets[0]), reduction="sum").div(160).backward()
    assert [piece.inputs.shape[1] for piece in pieces(symbols, model.config)] == [64, 64, 32]
    expected = flat([each.grad.numpy() for _, each in tuning.trained(model)])
    (row,) = Differentiator(model, 2048).rows(one, checkpoint)
    np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-6)
    (cut,) = (each.copy() for each in Differentiator(model, 80).rows(one, checkpoint))
    (short,) = Differentiator(model, 2048).rows(Sequences(symbols[:80], np.array([0, 80])), checkpoint)
    assert np.array_equal(cut, short) and not np.allclose(cut, expected)


def test_a_gradient_is_the_slope_of_the_loss(tiny: str) -> None:
    """Central differences along random directions."""
    fitted = learnt(small(tiny))
    model, checkpoint = at(tiny, fitted, 1), found(fitted.arrays, 2)[1]
    document = language_of(tiny).encode(Texts.of(PLAIN[:1]))
    (gradient,) = (one.copy() for one in Differentiator(model, 2048).rows(document, checkpoint))
    for seed in range(3):
        way = np.random.default_rng(seed).normal(size=len(gradient)).astype(np.float32)
        losses = []
        for sign in (1, -1):
            put(model, checkpoint.weights + sign * np.float32(3e-4) * way)
            losses.append(loss(model, document))
        assert (losses[0] - losses[1]) / 6e-4 == pytest.approx(float(gradient @ way), rel=0.02, abs=2e-3)


@pytest.mark.parametrize("corrected", [False, True])
def test_a_direction_is_a_step_of_adam_on_a_logistic_model(corrected: bool) -> None:
    """torch's own step from known moments, its gradient by finite differences; epsilon, which torch has elsewhere, is out of the
    way. Without corrections for bias the step is torch's with its corrections taken out."""
    chance = np.random.default_rng(1)
    x, w, first, second = chance.normal(size=(4, 12))
    second, steps, small_step = second**2 + 0.1, 5, 1e-6

    def logistic(weights: np.ndarray) -> float:
        return float(np.log1p(np.exp(-x @ weights)))

    gradient = np.array([(logistic(w + e) - logistic(w - e)) / 2e-6 for e in small_step * np.eye(12)])
    weights = torch.tensor(w, requires_grad=True)
    adam = torch.optim.Adam([weights], lr=1.0, betas=(0.9, 0.999), eps=0.0)
    adam.state[weights] = {
        "step": torch.tensor(float(steps)), "exp_avg": torch.tensor(first), "exp_avg_sq": torch.tensor(second)
    }  # fmt: skip
    weights.grad = torch.tensor(gradient)
    adam.step()
    step = w - weights.detach().numpy()
    undone = 1.0 if corrected else (1 - 0.9 ** (steps + 1)) / np.sqrt(1 - 0.999 ** (steps + 1))
    direction = gradient.astype(np.float32)
    Rule((0.9, 0.999), 1e-20, corrected)(
        direction, Checkpoint(w.astype(np.float32), first.astype(np.float32), second.astype(np.float32), steps)
    )
    np.testing.assert_allclose(direction, step * undone, rtol=1e-4)


@pytest.mark.parametrize(("variant", "side"), [("code", "adam"), ("paper", "adam"), ("code", "sgd")])
def test_columns_are_projected_directions(tiny: str, variant: str, side: str) -> None:
    method = small(tiny, variant=variant, side=side, width=64, projection="sparse", seed=9)
    fitted = learnt(method)
    given = columns(method, fitted, SUMS[:1])
    for place in (0, 1):
        model = at(tiny, fitted, place)
        expected = slope(model, language_of(tiny).encode(Texts.of(SUMS[:1])))
        if side == "adam":
            first, second = fitted.arrays[f"first_{place}"], fitted.arrays[f"second_{place}"]
            mean, spread = 0.9 * first + 0.1 * expected, 0.999 * second + 0.001 * expected**2
            step = int(fitted.arrays[f"step_{place}"][0])
            bias = (1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)) if variant == "paper" else (1, 1)
            expected = (mean / bias[0]) / np.sqrt(spread / bias[1] + 1e-8)
        wanted = Projection("sparse", 64, 9)(expected.astype(np.float32))
        np.testing.assert_allclose(
            given[f"gradients_{place + 1}"][0], wanted, rtol=2e-2, atol=2e-2 * np.abs(wanted).max()
        )
    assert not np.allclose(given["gradients_1"], given["gradients_2"])


def test_influence_is_what_a_step_of_adam_does_to_the_targets_loss(tiny: str) -> None:
    """A small step from a checkpoint along the row's direction: the target's loss falls by the inner product of the two columns, if
    both sides went through one projection and the target's is a plain gradient. The width is more than the weights, where a
    hadamard projection keeps inner products exactly."""
    method = small(tiny)
    fitted = learnt(method)
    row, example = SUMS[5], SUMS[30]
    ours, theirs = columns(method, fitted, [row]), columns(method.on_target(), fitted, [example])
    model, checkpoint = at(tiny, fitted, 1), found(fitted.arrays, 2)[1]
    encode = language_of(tiny).encode
    direction = slope(model, encode(Texts.of([row])))
    Rule()(direction, checkpoint)
    losses = []
    for sign in (1, -1):
        put(model, checkpoint.weights - sign * np.float32(1e-4) * direction)
        losses.append(loss(model, encode(Texts.of([example]))))
    product = float(ours["gradients_2"][0].astype(float) @ theirs["gradients_2"][0].astype(float))
    assert (losses[1] - losses[0]) / 2e-4 == pytest.approx(product, rel=0.02)


# --- Columns ----------------------------------------------------------------------------------------------------------


def test_rows_are_worked_alone_and_rows_that_say_nothing_have_none(tiny: str) -> None:
    method = small(tiny, width=64, precision="float16")
    fitted = learnt(method)
    silent = marked([Turn("user", "Who is there?")])
    texts = [*TALK, silent, *PLAIN]
    opened = {"fitted": fitted, "prepared": method.prepare({"fitted": fitted})}
    whole = method.annotate(batch(texts), opened)
    alone = [method.annotate(batch([text]), opened) for text in texts]
    for name, column in whole.items():
        assert np.array_equal(column, np.concatenate([one[name] for one in alone]), equal_nan=True)
    assert np.isnan(whole["gradients_1"][4]).all() and np.isfinite(np.delete(whole["gradients_1"], 4, axis=0)).all()
    empty = method.annotate(batch([]), opened)
    assert {name: (one.dtype, one.shape[1:]) for name, one in empty.items()} == {
        name: (one.dtype, one.shape[1:]) for name, one in whole.items()
    }


def test_an_empty_response_has_no_gradient(tiny: str) -> None:
    """Its end alone would be learnt: a direction that says to stop, whatever was asked."""
    method = small(tiny, width=64)
    empty = marked([Turn("user", "What is 2 plus 2?"), Turn("assistant", "")])
    given = columns(method, learnt(method), [TALK[0], empty, ""])["gradients_1"]
    assert np.isnan(given).all(axis=1).tolist() == [False, True, True]


def test_half_precision_ranks_rows_alike(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of a GPU, bfloat16 inside the passes, done on a processor: the same order of influences as in float32."""
    method = small(tiny, width=4096, precision="float16")
    fitted, rows, examples = learnt(method), [*SUMS[:24], *PLAIN, *TALK], SUMS[24:30]

    def influences() -> np.ndarray:
        ours, theirs = columns(method, fitted, rows), columns(method.on_target(), fitted, examples)
        aims = np.stack([influence.unit(theirs[f"gradients_{place}"]).mean(axis=0, keepdims=True) for place in (1, 2)])
        return influence.influences([ours["gradients_1"], ours["gradients_2"]], aims, np.array([0.5, 0.5]))[:, 0]

    exact = influences()
    monkeypatch.setattr(Causal, "_split", staticmethod(lambda module, place: False))
    monkeypatch.setattr(Causal, "_precision", lambda self: torch.autocast("cpu", torch.bfloat16))
    half = influences()
    assert not np.array_equal(exact, half) and scipy.stats.spearmanr(exact, half).statistic >= 0.99


def test_short_numbers_keep_the_direction(tiny: str) -> None:
    long = small(tiny, width=64)
    fitted = learnt(long)
    short = columns(replace(long, precision="float16").on_target(), fitted, PLAIN)["gradients_1"]
    exact = columns(long.on_target(), fitted, PLAIN)["gradients_1"]
    assert short.dtype == np.float16 and exact.dtype == np.float32
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(short.astype(float)), axis=1)), 1, rtol=1e-3)
    cosine = np.sum(short * exact, axis=1) / np.linalg.norm(short.astype(float), axis=1) / np.linalg.norm(exact, axis=1)
    np.testing.assert_allclose(cosine, 1, atol=1e-5)


# --- The warm-up ------------------------------------------------------------------------------------------------------


def test_the_warm_up_depends_on_content_and_seed_alone(tiny: str) -> None:
    method = small(tiny)
    one, other = learnt(method, SUMS), learnt(method, SUMS[::-1])
    assert one.arrays.keys() == other.arrays.keys()
    assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)
    assert one.notes["warmup_rows"] == len(SUMS) // 2


def test_who_watches_the_pool_is_told_of_every_step(tiny: str) -> None:
    class Watched(Few):
        def tell(self, *said: object) -> None:
            heard.append(said)

    heard: list[tuple] = []
    method = small(tiny)
    fitted = method.learn(Watched(tuple(SUMS)), None, Signals({}), None, np.random.default_rng(3))
    steps = int(fitted.arrays["step_1"][0])
    assert [said[:4] for said in heard] == [("warm up", place, steps, "steps") for place in range(1, steps + 1)]
    assert heard[-1][4] > 0


def test_rates_are_the_means_of_each_epoch(tiny: str) -> None:
    """And the same for every row: what checkpoints count is the warm-up's."""
    method = small(tiny, epochs=3, rate=3e-3, warmup=1.0)
    fitted = learnt(method, [f"{a} plus {b} is {a + b}." for a in range(20) for b in range(30)])
    steps = [int(fitted.arrays[f"step_{place}"][0]) for place in range(3)]
    assert steps[0] > 1
    plan = tuning.Tuning(epochs=3, warm=0.03)
    each = [3e-3 * tuning.factor(step, steps[-1], plan) for step in range(steps[-1])]
    expected = [np.mean(each[start:stop]) for start, stop in zip([0, *steps], steps, strict=False)]
    np.testing.assert_allclose(fitted.arrays["rates"], expected)
    given = columns(replace(method, width=16), fitted, PLAIN[:2])["gradients_rates"]
    np.testing.assert_allclose(given, [expected] * 2, rtol=1e-6)
    assert Less(checkpoints=3).reads == (*(f"gradients_{place}" for place in (1, 2, 3)), "gradients_rates", "source")


def test_adapters_of_a_checkpoint_alone_are_trained_and_differentiated(tiny: str, tmp_path: Path) -> None:
    folder = checkpoint_in(tmp_path / "checkpoint", tiny)
    model = Causal.of(language_of(tiny).config, 0).module
    method = small(str(folder), r=2, alpha=4.0, width=1024, adapters="auto")
    fitted = learnt(method)
    assert fitted.notes["weights"] == 4 * 2 * (16 + 16)  # four projections, two matrices of rank 2 each
    assert learnt(replace(method, adapters="none")).notes["weights"] == sum(one.numel() for one in model.parameters())
    assert learnt(small(tiny)).notes["weights"] == fitted_size(tiny)
    own = at(str(folder), fitted, 1, tuning.Adapters(2, 4.0))
    document = language_of(str(folder)).encode(Texts.of(PLAIN[:1]))
    given = columns(replace(method, side="sgd"), fitted, PLAIN[:1])["gradients_2"][0]
    expected = Projection("hadamard", 1024)(slope(own, document))
    np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-5 + 1e-3 * np.abs(expected).max())


def checkpoint_in(folder: Path, tiny: str) -> Path:
    """A folder of the transformers library as one downloads it: config, weights, tokenizer."""
    Causal.of(language_of(tiny).config, 0).module.save_pretrained(folder)
    ours = language_of(tiny).tokenizer
    transformers.PreTrainedTokenizerFast(tokenizer_file=ours, eos_token="<|end|>").save_pretrained(folder)
    return folder


def fitted_size(tiny: str) -> int:
    return sum(one.numel() for one in Causal.of(language_of(tiny).config, 0).module.parameters())


# --- The command, and sentences ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["less", "bids"])
def test_the_command_finds_the_targets_kind_again(tmp_path: Path, tiny: str, method: str) -> None:
    """Sums among plain sentences; the target are other sums, of two subtasks."""
    rows = [{"text": text} for text in [*PLAIN, *SUMS[:12]]]
    target = [{"text": text, "source": f"task {number % 2}"} for number, text in enumerate(SUMS[20:26])]
    pool, wanted = jsonl(tmp_path / "pool.jsonl", rows), jsonl(tmp_path / "target.jsonl", target)
    settings = ("gradients.epochs=2", "gradients.width=256", "gradients.warmup=0.6", "gradients.adapters=none")
    settings += (f"{method}.checkpoints=2",)
    told_ = [part for setting in settings for part in ("--set", setting)]
    done(
        pool,
        "--target",
        wanted,
        "--method",
        method,
        "--model",
        tiny,
        "--budget",
        "6",
        *told_,
        "--out",
        tmp_path / "run",
    )
    assert len(chosen(tmp_path / "run")) == 6 and min(chosen(tmp_path / "run")) >= len(PLAIN)
    if method == "less":
        assert told(tmp_path / "run")["fits"]["less"]["subtasks"] == 2


def test_the_command_as_it_is_typed(tmp_path: Path, tiny: str) -> None:
    """Instructions as they lie about, and a checkpoint's folder: nothing else is said but the budget."""
    rows = [{"instruction": text[:9], "input": "", "output": text} for text in [*PLAIN * 5, *SUMS[:30]]]
    rows[3]["output"] = ""
    pool = jsonl(tmp_path / "instructions.jsonl", rows)
    task = jsonl(tmp_path / "task.jsonl", [{"instruction": text[:9], "output": text} for text in SUMS[30:]])
    folder = checkpoint_in(tmp_path / "base", tiny)
    done(pool, "--target", task, "--method", "less", "--model", folder, "--budget", "5%", "--out", tmp_path / "run")
    run = tmp_path / "run"
    assert len(chosen(run)) == 3 and told(run)["fits"]["gradients"]["warmup_rows"] == 3
    lines = manifest(run)
    assert lines.filter(pl.col("row") == 3)["reason"].to_list() != lines.filter(pl.col("row") == 4)["reason"].to_list()


def test_wrong_uses_end_in_one_sentence(tmp_path: Path, tiny: str) -> None:
    def refused(*given: object, model: str | Path = tiny, rows: str = "pool", method: str = "less") -> str:
        out = tmp_path / f"{method}-{rows}-{Path(model).name}-{len(given)}"
        words = ("--method", method, "--model", model, "--budget", "5%", "--out", out)
        return select(tmp_path / f"{rows}.jsonl", *words, *given).sentence

    jsonl(tmp_path / "pool.jsonl", [{"instruction": text[:9], "output": text} for text in SUMS])
    jsonl(tmp_path / "silent.jsonl", [{"instruction": text, "output": ""} for text in SUMS])
    aim = ("--target", tmp_path / "pool.jsonl")
    assert "less needs a target: give --target FILE" in refused()
    assert "bids needs a target: give --target FILE" in refused(method="bids")
    assert re.search(r"tiny' must have trained weights \(model.safetensors\) .* adapters = 'none'", refused(*aim))
    (tmp_path / "empty").mkdir()
    assert "config.json" in refused(*aim, model=tmp_path / "empty")
    base = checkpoint_in(tmp_path / "base", tiny)
    assert re.search(r"responses to learn, .*; none of the \d", refused(*aim, model=base, rows="silent"))
    folder = checkpoint_in(tmp_path / "bare", tiny)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    assert "must come with its tokenizer (tokenizer.json)" in refused(*aim, model=folder)
    assert "nowhere" in refused(*aim, model="nowhere")


def test_another_content_of_a_model_is_another_method(tmp_path: Path, tiny: str) -> None:
    """What the store names results by: a folder that has changed, not only its path."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = (Path(tiny) / "config.json").read_text("utf-8")
    (folder / "config.json").write_text(config, "utf-8")
    before = repr(Gradients(model=str(folder)))
    language.content.cache_clear()
    (folder / "config.json").write_text(config + " ", "utf-8")
    assert before != repr(Gradients(model=str(folder))) and "width=8192" in before
    assert repr(Gradients()) == repr(copy.copy(Gradients())) != repr(Gradients(side="sgd"))


def test_errors_teach(tiny: str) -> None:
    with pytest.raises(RecipeError, match=r"projection must be one of hadamard, sparse, dense; got 'dct'"):
        Gradients(projection="dct")
    with pytest.raises(RecipeError, match="power of two; got 5000: take 4096 or 8192"):
        Gradients(width=5000)
    with pytest.raises(RecipeError, match="warmup must be a share"):
        Gradients(warmup=5)
    with pytest.raises(RecipeError, match="epochs must be from 1 to 100; got 0"):
        Gradients(epochs=0)
    with pytest.raises(RecipeError, match="side must be one of adam, sgd; got 'both'"):
        Gradients(side="both")
    with pytest.raises(InputError, match="must have text or responses to learn"):
        learnt(small(tiny), [marked([Turn("user", "Who is there?")])])
