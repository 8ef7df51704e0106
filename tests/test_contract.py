"""The contract suite: what every method must do, run on every method that the catalog finds, unasked.

A new method is tested by these checks from the moment its file exists; its own test holds only what is peculiar to it.
Methods are handed exactly the columns that they declare, so one that reads more fails here. The second half turns the
suite on itself: methods that break a promise on purpose must be caught by the check of that promise.
"""

from __future__ import annotations

import functools
import io
import json
import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from assay import catalog
from assay.contracts import (
    Annotator,
    Editor,
    Filter,
    Forecaster,
    Grouper,
    Learner,
    Mixer,
    Rows,
    Sampler,
    Scorer,
    Selector,
    State,
    TextEditor,
)  # fmt: skip
from assay.decide import AIM, decide
from assay.io.models import load_model
from assay.io.store import Store
from assay.io.word_lists import WordList
from assay.kernels.hashing import hash_rows
from assay.models.dialogue import Turn, marked
from assay.opening import open_pool
from assay.recipe import Read
from assay.run.local import Local
from assay.run.passes import Pool
from assay.run.shuffle import Shuffler
from assay.steps import Step
from assay.types import Batch, Column, Fitted, Groups, Limit, Mixture, Selection, Signals, Texts, Trials, join_texts

# --- Real text in memory ----------------------------------------------------------------------------------------------

SPEECH = """Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in
Liberty, and dedicated to the proposition that all men are created equal. Now we are engaged in a great civil war,
testing whether that nation, or any nation so conceived and so dedicated, can long endure. We are met on a great
battle-field of that war. We have come to dedicate a portion of that field, as a final resting place for those who here
gave their lives that that nation might live. It is altogether fitting and proper that we should do this. But, in a
larger sense, we can not dedicate -- we can not consecrate -- we can not hallow -- this ground. The brave men, living
and dead, who struggled here, have consecrated it, far above our poor power to add or detract. The world will little
note, nor long remember what we say here, but it can never forget what they did here."""  # Abraham Lincoln, 1863
SONNET = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date:
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance, or nature's changing course, untrimm'd;"""  # William Shakespeare, 1609
ODD = ["", " ", "\n", "a", "\x00", "naïve café", "日本語の文章。", "🙂🙃", "1234567890", "ab " * 3000]
LICENCE = (Path(__file__).parent.parent / "LICENSE").read_text("utf-8").split("\n\n")

TARGET = [sentence.replace("\n", " ") for sentence in SPEECH.split(". ")]
POOL = [*LICENCE, *SONNET.split("\n"), *TARGET[::2], *ODD, *SONNET.split("\n")[:2]]
N = len(POOL)


@functools.lru_cache(maxsize=4096)
def png(seed: int) -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def wardrobe(texts: list[str]) -> dict[str, Column]:
    """Every column that a method may declare, made from the texts alone, so that copies of a text agree."""
    block = Texts.of(texts)
    hashes = hash_rows(block.data, block.offsets)
    unit = (hashes >> np.uint64(11)).astype(np.float64) / 2**53
    return {
        "text": block,
        "row_hash": hashes,
        "bytes": block.sizes.astype(np.int64),
        "score": np.log(unit / (1 - unit)),
        "source": (hashes % np.uint64(3)).astype(np.int64),
        "label": Texts.of([("no", "yes")[int(one) % 2] for one in hashes]),
        "image": Texts.of_bytes([png(int(one)) for one in hashes]),
        "loss": -np.log(unit),
        "domain_loss": np.tile([2.0, np.nan, 1.0], (len(texts), 1)),
        "rating": np.where(hashes % np.uint64(4) < 3, np.floor(unit * 6), np.nan),
        "embedding": np.stack([np.cos(unit * k) for k in range(1, 9)], axis=1),
        "loss_trajectory": np.outer(-np.log(unit), [1.0, 0.6, 0.5]),
        "embed": np.stack([np.cos(unit * k) for k in range(1, 9)], axis=1),
        "kmeans": (hashes % np.uint64(3)).astype(np.int32),
        "kmeans_distance": unit,
        **{f"gradients_{place}": np.stack([np.cos(unit * k + place) for k in range(8)], axis=1) for place in range(1, 5)},
        "gradients_rates": np.tile([4e-5, 3e-5, 2e-5, 1e-5], (len(texts), 1)),
    }


def asked(method: Any) -> tuple[str, ...]:
    """The columns that a method declares: of the rows, and signals of earlier steps."""
    return (*method.needs, *method.reads)


def pick(column: Column, rows: np.ndarray) -> Column:
    return column.take(rows) if isinstance(column, Texts) else column[rows]


def batch(texts: list[str], rows: np.ndarray, needs: tuple[str, ...]) -> Batch:
    """The rows, with the columns that a method declares and no other."""
    columns = wardrobe(texts)
    assert set(needs) <= set(columns), (
        f"needs {needs}: the contract suite knows {sorted(columns)}; teach it the new column"
    )
    return Batch(rows.astype(np.int64), columns["row_hash"][rows], {name: pick(columns[name], rows) for name in needs})


def pieces(n: int, size: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]


@dataclass(frozen=True)
class MemoryRows(Rows):
    """Rows in memory, cut into batches; what `fit` is given in place of a pool on disk."""

    batches: tuple[Batch, ...]

    @classmethod
    def of(cls, texts: list[str], needs: tuple[str, ...], size: int) -> MemoryRows:
        return cls(tuple(batch(texts, rows, needs) for rows in pieces(len(texts), size)))

    def reduce(self, part: Callable, merge: Callable) -> Any:
        part = pickle.loads(pickle.dumps(part))  # It crosses to worker processes.
        return functools.reduce(merge, [part(batch) for batch in self.batches])

    def sample(self, k: int) -> Batch:
        hashes = np.concatenate([batch.hashes for batch in self.batches])
        rows = np.sort(np.argsort(hashes, kind="stable")[:k])
        columns = {}
        for name, column in self.batches[0].columns.items():
            parts = [batch.columns[name] for batch in self.batches]
            joined = join_texts(parts) if isinstance(column, Texts) else np.concatenate(parts)
            columns[name] = pick(joined, rows)
        return Batch(rows, hashes[rows], columns)

    def __len__(self) -> int:
        return sum(map(len, self.batches))


def frozen(signals: dict[str, np.ndarray]) -> Signals:
    """Signals that cannot be written into."""
    for column in signals.values():
        column.flags.writeable = False
    return Signals(signals)


def same(left: Any, right: Any) -> bool:
    return len(left) == len(right) and np.array_equal(np.asarray(left), np.asarray(right), equal_nan=True)


# --- Scorers ----------------------------------------------------------------------------------------------------------


def fit(scorer: Scorer, size: int = N) -> Fitted:
    pool = MemoryRows.of(POOL, asked(scorer), size)
    target = None if scorer.uses_target == "no" else MemoryRows.of(TARGET, asked(scorer), size)
    return scorer.fit(pool, target, np.random.default_rng(7))


def scores(scorer: Scorer, fitted: Fitted, parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(scorer.score(fitted, batch(POOL, rows, asked(scorer)))) for rows in parts])


def scorer_is_finite(scorer: Scorer) -> None:
    got = scores(scorer, fit(scorer), [np.arange(N)])
    assert got.dtype == np.float64 and got.shape[0] == N and got.ndim in (1, 2)
    assert not np.isinf(got).any(), "a score is finite, or NaN where the method declines the row"
    assert np.isfinite(got).any()


def scorer_is_the_same_in_one_batch_or_many(scorer: Scorer) -> None:
    fitted = fit(scorer)
    whole = scores(scorer, fitted, [np.arange(N)])
    assert same(scores(scorer, fitted, pieces(N, 1)), whole) and same(scores(scorer, fitted, pieces(N, 7)), whole)


def scorer_permutes_with_its_rows(scorer: Scorer) -> None:
    fitted, order = fit(scorer), np.random.default_rng(1).permutation(N)
    assert same(scores(scorer, fitted, [order]), scores(scorer, fitted, [np.arange(N)])[order])


def scorer_is_repeatable(scorer: Scorer) -> None:
    one, two = fit(scorer), fit(scorer)
    assert one.arrays.keys() == two.arrays.keys()
    assert all(same(one.arrays[name], two.arrays[name]) for name in one.arrays)
    assert same(scores(scorer, one, [np.arange(N)]), scores(scorer, two, [np.arange(N)]))


def scorer_fits_the_same_however_the_pool_is_cut(scorer: Scorer) -> None:
    whole, cut = scores(scorer, fit(scorer), [np.arange(N)]), scores(scorer, fit(scorer, size=5), [np.arange(N)])
    np.testing.assert_allclose(cut, whole, rtol=1e-9, atol=1e-9)


def scorer_learns_plain_arrays(scorer: Scorer) -> None:
    fitted = fit(scorer)
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in fitted.arrays.values())
    json.dumps(fitted.notes)
    back = pickle.loads(pickle.dumps((scorer, fitted)))
    assert same(scores(*back, [np.arange(N)]), scores(scorer, fitted, [np.arange(N)]))


# --- Selectors --------------------------------------------------------------------------------------------------------


def given(needs: tuple[str, ...]) -> tuple[Signals, Groups]:
    """Signals as declared, and a domain for every row."""
    columns = {name: np.array(column) for name, column in wardrobe(POOL).items() if name in needs and not isinstance(column, Texts)}
    columns |= aims(needs)
    return frozen(columns), Groups(wardrobe(POOL)["source"], ("code", "law", "web"))


def aims(needs: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What a selector reads of the target's rows."""
    named = [name.removeprefix(AIM) for name in needs if name.startswith(AIM)]
    return {AIM + name: np.array(wardrobe(TARGET)[name]) for name in named}


def limits() -> Iterator[Limit]:
    sizes = wardrobe(POOL)["bytes"]
    for amount in (0, 1, N // 3, N, 2 * N):
        yield Limit(amount, "examples", np.ones(N, np.int64))
    for amount in (0, 1, int(sizes.sum()) // 10, int(sizes.sum()) - 1, int(sizes.sum())):
        yield Limit(amount, "bytes", sizes)


def select(selector: Selector, limit: Limit, seed: int = 3) -> Selection:
    signals, groups = given(asked(selector))
    return selector.select(signals, groups, limit, np.random.default_rng(seed))


def selector_chooses_distinct_rows(selector: Selector) -> None:
    for limit in limits():
        rows = select(selector, limit).rows
        assert rows.dtype == np.int64 and len(set(rows.tolist())) == len(rows)
        assert not len(rows) or (rows.min() >= 0 and rows.max() < N)


def selector_stays_within_budget(selector: Selector) -> None:
    for limit in limits():
        assert limit.cost[select(selector, limit).rows].sum() <= limit.amount, f"{limit.amount} {limit.unit}"


def selector_spends_what_it_may(selector: Selector) -> None:
    assert len(select(selector, Limit(3, "examples", np.ones(N, np.int64)))) > 0


def selector_is_repeatable_from_the_seed(selector: Selector) -> None:
    for limit in limits():
        one, two = select(selector, limit), select(selector, limit)
        assert same(one.rows, two.rows) and same(one.gains, two.gains) and same(one.weights, two.weights)


def selector_nests_if_it_says_so(selector: Selector) -> None:
    for unit in ("examples", "bytes"):
        ladder = [limit for limit in limits() if limit.unit == unit]
        largest = select(selector, ladder[-1])
        for limit in ladder if largest.nested else []:
            assert same(largest.upto(limit).rows, select(selector, limit).rows), f"{limit.amount} {unit}"


def selector_accounts_for_its_rows(selector: Selector) -> None:
    for limit in limits():
        choice = select(selector, limit)
        assert len(choice.gains) == len(choice.weights) == len(choice.rows)
        assert (choice.weights > 0).all() and not np.isnan(choice.gains).any()
        refused = np.concatenate([np.zeros(0, np.int64), *choice.reasons.values()])
        assert len(np.unique(refused)) == len(refused) and not len(np.intersect1d(refused, choice.rows))


# --- Pools on disk, for methods that look at all rows at once -----------------------------------------------------------


def on_disk(folder: Path, texts: list[str], files: int = 1) -> Pool:
    """The texts as JSON lines in some files, opened as a pool; a text that cannot be a row's (none is empty) is left out."""
    folder.mkdir(parents=True)
    rows = [json.dumps({"text": text}) + "\n" for text in texts]
    for number, part in enumerate(np.array_split(np.arange(len(rows)), files)):
        (folder / f"{number}.jsonl").write_text("".join(rows[row] for row in part), "utf-8")
    return open_pool((str(folder),), Read(), Store(folder / "store"), Local(1))


def preferred(pool: Pool, needs: tuple[str, ...], reads: tuple[str, ...] = (), texts: Sequence[str] = ()) -> Signals:
    """The signal `order` for a method that names it: the longest first, then by content; what else it `reads`, of the texts."""
    table = pool.count()
    order = np.full(len(table), len(table))
    rows = np.flatnonzero(table.readable)
    order[rows[np.lexsort((rows, table.hashes[rows], -table.sizes[rows]))]] = np.arange(len(rows))
    columns = {name: wardrobe(list(texts))[name] for name in reads} | ({"living": table.readable} if reads else {})
    return Signals({**columns, **({"order": order} if "order" in needs else {})})


WRITTEN = [text for text in POOL if text.strip()]
SHUFFLED = np.random.default_rng(3).permutation(len(WRITTEN))


def grouped(grouper: Grouper, folder: Path, texts: list[str], files: int = 1) -> dict[str, np.ndarray]:
    """What a grouper says of every text: the first text of its group (or -1), and its signals."""
    pool = on_disk(folder, texts, files)
    given = preferred(pool, grouper.needs, grouper.reads, texts)
    groups, signals = grouper.group(pool, given, Shuffler(1 << 26), np.random.default_rng(0))
    found = {name: np.array(values) for name, values in signals.columns.items()}
    if groups is not None:
        found[""] = groups.ids
    assert all(len(values) == len(texts) for values in found.values())
    return found


def partition(ids: np.ndarray) -> set[frozenset[int]]:
    """Groups of two and more as sets of rows."""
    found: dict[int, set[int]] = {}
    for row, group in enumerate(ids.tolist()):
        found.setdefault(group, set()).add(row)
    return {frozenset(rows) for group, rows in found.items() if group >= 0 and len(rows) > 1}


def alike(left: dict[str, np.ndarray], right: dict[str, np.ndarray], place: np.ndarray) -> bool:
    """Whether two answers agree where text i of the first is text place[i] of the second; of copies any may be named."""
    if left.keys() != right.keys():
        return False
    back = np.argsort(place)
    if "" in left and partition(left[""]) != {frozenset(back[list(rows)].tolist()) for rows in partition(right[""])}:
        return False
    shares = [name for name in left if name and not name.endswith("_of")]
    return all(np.allclose(np.sort(left[name]), np.sort(right[name])) for name in shares)


def grouper_says_what_it_gives(grouper: Grouper, folder: Path) -> None:
    found = grouped(grouper, folder / "once", WRITTEN)
    name = next(name for kind, name in FOUND if kind == "group" and catalog.load(kind, name) is type(grouper))
    assert ("" in found) == (grouper.gives != "share")
    if grouper.gives == "share":
        assert {name, f"{name}_of"} <= set(found)
        assert ((found[name] >= 0) & (found[name] <= 1)).all() and (found[f"{name}_of"] >= -1).all()
        assert ((found[name] > 0) == (found[f"{name}_of"] >= 0)).all(), "a share names the row that holds most of it"


def grouper_finds_something(grouper: Grouper, folder: Path) -> None:
    doubled = [SPEECH, *WRITTEN, SPEECH]
    found = grouped(grouper, folder / "doubled", doubled)
    told = {row for rows in partition(found.get("", np.zeros(0, np.int64))) for row in rows}
    shares = [values for name, values in found.items() if name and not name.endswith("_of")]
    assert {0, len(doubled) - 1} <= told or any(values[0] + values[-1] >= 0.9 for values in shares)


def grouper_does_not_care_for_order_or_layout(grouper: Grouper, folder: Path) -> None:
    plain = grouped(grouper, folder / "plain", WRITTEN)
    assert alike(plain, grouped(grouper, folder / "files", WRITTEN, files=5), np.arange(len(WRITTEN)))
    moved = grouped(grouper, folder / "moved", [WRITTEN[row] for row in SHUFFLED], files=3)
    assert alike(plain, moved, np.argsort(SHUFFLED))


# --- Annotators, filters, mixers, samplers, editors -------------------------------------------------------------------


def whitespace_tokenizer() -> Tokenizer:
    """A tokenizer that knows two words; the rest is unknown, one token a word."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "of": 2}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


# What a method is handed under each name that its `models` may use: small, made in memory.
GOLDENS = Path(__file__).parent / "goldens"
ARPA = """\\data\\
ngram 1=4
ngram 2=1

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.8\t</s>
-0.6\tthe\t-0.25

\\2-grams:
-0.3\t<s> the

\\end\\
"""


def arpa() -> Any:
    pytest.importorskip("kenlm", reason="needs kenlm")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tiny.arpa").write_text(ARPA, "utf-8")
        return load_model("kenlm", f"{folder}/tiny.arpa")


MODELS: dict[str, Callable[[], Any]] = {
    "tokenizer": whitespace_tokenizer,
    "fasttext": lambda: load_model("fasttext", str(GOLDENS / "fasttext" / "lid.ftz")),
    "kenlm": arpa,
    "words": lambda: WordList.of(["the", "civil war"]),
}


def handed(method: Annotator | TextEditor, folder: Path) -> dict[str, Any]:
    """Its models, and what it learnt of a pool on disk."""
    opened = {name: MODELS[name]() for name in method.models}
    if isinstance(method, Learner):
        pool, target = on_disk(folder / "pool", WRITTEN), on_disk(folder / "target", TARGET)
        known = preferred(pool, method.needs)
        if getattr(method, "form", "text") == "turns" or "image" in method.needs:
            some = 16 if "image" in method.needs else len(WRITTEN)  # pictures take a network long
            pool, target = (MemoryRows.of(read_by(method, texts), method.needs, 16) for texts in (WRITTEN[:some], TARGET))
        learnt = method.learn(pool, target, known, Shuffler(1 << 26), np.random.default_rng(0))
        assert all(isinstance(array, np.ndarray) and array.dtype != object for array in learnt.arrays.values())
        json.dumps(dict(learnt.notes))
        opened["fitted"] = learnt
    return {**opened, "prepared": method.prepare(opened)} if isinstance(method, Annotator) else opened


def read_by(method: Any, texts: list[str]) -> list[str]:
    """Texts as a method reads rows: for one that asks for turns half of each is a prompt, the rest the response."""
    if getattr(method, "form", "text") == "text":
        return texts
    halves = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in texts]
    return [marked([Turn("user", prompt), Turn("assistant", response)]) for prompt, response in halves]


def needed(method: Annotator | TextEditor) -> tuple[str, ...]:
    """The columns that a row-wise method reads; `order` is for learning."""
    return tuple(name for name in method.needs if name != "order")


def close(left: Any, right: Any) -> bool:
    """Whether a network says the same: a library sums a batch in an order that depends on its shape."""
    return len(left) == len(right) and np.allclose(np.asarray(left), np.asarray(right), 1e-3, 1e-3, equal_nan=True)


def annotator_is_row_wise(annotator: Annotator, folder: Path) -> None:
    opened, texts = handed(annotator, folder), read_by(annotator, POOL)
    asked = np.arange(0, N, 3 if annotator.heavy else 1)  # a network takes its time
    whole = annotator.annotate(batch(texts, asked, needed(annotator)), opened)
    for size in (1, 7):
        some = [asked[rows] for rows in pieces(len(asked), size)]
        parts = [annotator.annotate(batch(texts, rows, needed(annotator)), opened) for rows in some]
        for name, column in whole.items():
            found = [row for part in parts for row in part[name]]
            assert len(column) == len(asked), name
            assert close(found, column) if annotator.heavy else found == list(column) or same(found, list(column)), name
    nothing = annotator.annotate(batch(texts, np.arange(0), needed(annotator)), opened)
    assert nothing.keys() == whole.keys() and not any(map(len, nothing.values()))


def filter_has_what_its_rules_read(chosen: Filter, folder: Path) -> None:
    columns: dict[str, Any] = {}
    for number, (name, parameters) in enumerate(chosen.measured):
        annotator = catalog.build("annotate", name, parameters)
        opened = handed(annotator, folder / str(number))
        columns |= annotator.annotate(batch(POOL, np.arange(N), needed(annotator)), opened)
    names = [rule.name for rule in chosen.rules]
    assert names and len(set(names)) == len(names) and chosen.prefix in ("rule", "contaminated")
    read = {name for rule in chosen.rules for name in rule.columns}
    assert read <= set(columns) | set(chosen.needs)
    for rule in chosen.rules:
        assert (rule.paper or chosen.paper).startswith("https://"), f"{rule.name} links no source"
        if rule.column in columns:
            assert rule.broken(columns).shape == (N,)


def text_editor_is_row_wise_and_settles(editor: TextEditor, folder: Path) -> None:
    opened = handed(editor, folder)

    def run(texts: list[str], parts: list[np.ndarray]) -> list[str]:
        return [text for rows in parts for text in editor.rewrite(batch(texts, rows, needed(editor)), opened)]

    once = run(POOL, [np.arange(N)])
    assert len(once) == N and once == run(POOL, pieces(N, 1)) == run(POOL, pieces(N, 7))
    assert len(editor.rewrite(batch(POOL, np.arange(0), needed(editor)), opened)) == 0


def mixer_stays_on_the_simplex_and_within_limits(mixer: Mixer) -> None:
    domains, limits = Mixture(("code", "law", "web"), np.array([0.2, 0.3, 0.5])), np.array([0.4, 1.0, 0.9])
    best = np.array([0.6, 0.3, 0.1])  # More of the first domain than there is.

    def run() -> tuple[list[Mixture], Mixture, np.ndarray]:
        tried = mixer.propose(domains, None, np.random.default_rng(0))
        spent = np.stack([mixture.weights for mixture in tried])
        trials = Trials(domains.domains, spent, ((spent - best) ** 2).sum(axis=1, keepdims=True))
        foretold = mixer.forecast(trials, spent, np.random.default_rng(0)) if isinstance(mixer, Forecaster) else trials.losses
        return tried, mixer.weights(trials, limits, np.random.default_rng(0)), foretold

    (tried, answer, foretold), (again, repeated, told_again) = run(), run()
    assert foretold.shape == (len(tried), 1) and np.isfinite(foretold).all() and same(foretold, told_again)
    assert all(mixture.domains == domains.domains for mixture in [*tried, answer])
    assert (answer.weights <= limits + 1e-9).all(), "a mixture cannot ask for more of a domain than there is"
    assert same([m.weights for m in tried], [m.weights for m in again]) and same(answer.weights, repeated.weights)


def plain(arrays: State, kept: bool) -> State:
    """Arrays that can be saved, and that nobody can write into; made anew as a checkpoint would, if `kept`."""
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in arrays.values())
    found = {name: np.array(array) if kept else array for name, array in arrays.items()}
    for array in found.values():
        array.flags.writeable = False
    return found


def sampled(sampler: Sampler, ahead: int = 0, kept: bool = False) -> list[np.ndarray]:
    """Batches of twenty steps, each drawn while `ahead` others wait to be trained on; if `kept`, everything is saved and made anew
    before each step."""
    signals, previews, measures = (given(names)[0] for names in (sampler.needs, sampler.previews, sampler.measures))
    fresh, waiting, drawn = pickle.dumps(sampler), list[tuple[np.ndarray, State]](), list[np.ndarray]()
    state = plain(sampler.init(N, signals, np.random.default_rng(5)), kept)
    for step in range(20):
        sampler, rng = pickle.loads(fresh) if kept else sampler, np.random.default_rng([5, step])
        pending = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in waiting)])
        proposed = sampler.propose(state, 8, pending, rng)
        assert proposed.dtype == np.int64 and len(proposed) and proposed.min() >= 0 and proposed.max() < N
        rows, drawn_with = sampler.draw(state, proposed, previews.take(proposed), 8, rng)
        assert 0 < len(rows) <= 8 and set(rows.tolist()) <= set(proposed.tolist())
        waiting.append((rows, plain(drawn_with, kept)))
        drawn.append(rows)
        if len(waiting) > ahead:
            rows, drawn_with = waiting.pop(0)
            state = plain(sampler.update(state, rows, drawn_with, measures.take(rows)), kept)
    return drawn


def sampler_draws_what_it_proposed(sampler: Sampler) -> None:
    for ahead in (0, 3):
        assert all(same(one, two) for one, two in zip(sampled(sampler, ahead), sampled(sampler, ahead), strict=True))


def sampler_goes_on_from_plain_arrays(sampler: Sampler) -> None:
    fresh = pickle.dumps(sampler)
    whole, kept = (sampled(pickle.loads(fresh), ahead=3, kept=kept) for kept in (False, True))
    assert all(same(one, two) for one, two in zip(whole, kept, strict=True))


def editor_names_parents_and_is_row_wise(editor: Editor) -> None:
    def run(parts: list[np.ndarray]) -> list[tuple[int, dict[str, Any]]]:
        edited = []
        for rows in parts:
            made = list(editor.edit(batch(POOL, rows, editor.needs), {}, 11))
            assert all(parent in rows for parent, _ in made), "a new row names a parent of its own batch"
            edited += made
        return edited

    assert run([np.arange(N)]) == run(pieces(N, 1)) == run(pieces(N, 7))


CHECKS: dict[str, list[Callable]] = {
    "annotate": [annotator_is_row_wise],
    "score": [
        scorer_is_finite,
        scorer_is_the_same_in_one_batch_or_many,
        scorer_permutes_with_its_rows,
        scorer_is_repeatable,
        scorer_fits_the_same_however_the_pool_is_cut,
        scorer_learns_plain_arrays,
    ],
    "select": [
        selector_chooses_distinct_rows,
        selector_stays_within_budget,
        selector_spends_what_it_may,
        selector_is_repeatable_from_the_seed,
        selector_nests_if_it_says_so,
        selector_accounts_for_its_rows,
    ],
    "mix": [mixer_stays_on_the_simplex_and_within_limits],
    "sample": [sampler_draws_what_it_proposed, sampler_goes_on_from_plain_arrays],
    "edit": [text_editor_is_row_wise_and_settles],
    "filter": [filter_has_what_its_rules_read],
    "group": [grouper_says_what_it_gives, grouper_finds_something, grouper_does_not_care_for_order_or_layout],
}
ON_DISK = ("annotate", "filter", "group", "edit")
FOUND = [(kind, name) for kind in catalog.KINDS for name in catalog.methods(kind)]
CASES = [
    pytest.param(kind, name, check, id=f"{name}-{check.__name__}")
    for kind, name in FOUND
    for check in CHECKS.get(kind, [])
]


@pytest.mark.parametrize(("kind", "name", "check"), CASES)
def test_contract(kind: str, name: str, check: Callable, tmp_path: Path) -> None:
    method = catalog.load(kind, name)()
    check(method, tmp_path) if kind in ON_DISK else check(method)


@pytest.mark.parametrize("name", catalog.methods("select"))
def test_a_row_that_is_dead_or_has_no_score_is_never_chosen(name: str) -> None:
    columns = {key: np.array(column) for key, column in wardrobe(POOL).items() if not isinstance(column, Texts)}
    columns |= aims(catalog.load("select", name)().reads)
    missing, dead = np.arange(0, N, 5), np.arange(1, N, 7)
    columns["score"][missing] = np.nan
    groups, alive = Groups(columns["source"], ("code", "law", "web")), ~np.isin(np.arange(N), dead)
    for limit in limits():
        if limit.amount > (1 if limit.unit == "examples" else 10_000):
            step = Step("select", name, name, {}, rank="score")
            choice = decide(step, Signals(columns), groups, alive, limit, (), (), 3).selection
            assert len(choice) and not len(np.intersect1d(choice.rows, dead))
            assert "score" not in catalog.load("select", name).needs or not len(np.intersect1d(choice.rows, missing))


def test_every_method_is_under_contract() -> None:
    unchecked = [f"{kind}/{name}" for kind, name in FOUND if kind not in CHECKS]
    assert not unchecked, f"the first method of a kind brings the checks of its kind: {unchecked}"
    assert {"dsir", "random", "top_k", "gumbel_top_k"} <= {name for _, name in FOUND}


# --- The suite judged by methods that cheat ---------------------------------------------------------------------------


@dataclass(frozen=True)
class CheatingScorer(Scorer):
    """Scores a text by its length, and breaks one promise."""

    how: str
    needs = ("text",)
    paper = ""
    uses_target = "no"

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        first = float(len(pool.batches[0])) if self.how == "cut" else 0.0
        return Fitted({"shift": np.array([np.random.rand() if self.how == "global chance" else first])})

    def score(self, fitted: Fitted, batch: Batch) -> np.ndarray:
        sizes = batch.text.sizes + fitted.arrays["shift"][0]
        match self.how:
            case "undeclared":
                return sizes + batch.columns["bytes"]
            case "batch mean":
                return sizes - sizes.mean()
            case "place":
                return sizes + np.arange(len(sizes)) * (len(sizes) == N)
            case "infinite":
                with np.errstate(divide="ignore"):
                    return np.log(sizes)
        return sizes * 1.0


@dataclass(frozen=True)
class CheatingSelector(Selector):
    """Takes the best rows, and breaks one promise."""

    how: str
    needs = ("score",)
    paper = ""

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        order = np.argsort(-signals["score"], kind="stable")
        match self.how:
            case "undeclared":
                order = order[signals["bytes"][order] >= 0]
            case "twice":
                order = np.concatenate([order[:1], order])
            case "over budget":
                return Selection.ranked(order, np.zeros(len(order)))
            case "global chance":
                np.random.shuffle(order)
            case "not nested":
                order = np.roll(order, limit.amount)
        rows = limit.prefix(order)
        return Selection.ranked(rows, np.zeros(len(rows)))


@dataclass(frozen=True)
class CheatingSampler(Sampler):
    """Draws the rows on which the model loses least, and breaks one promise."""

    how: str
    needs = ("score",)
    previews = ("loss",)
    measures = ("rating",)
    paper = ""

    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        score = signals["bytes" if self.how == "undeclared" else "score"]
        return {"score": score, "reward": np.zeros(1), "turn": np.zeros(1, np.int64)}

    def propose(self, state: State, size: int, pending: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        free = np.setdiff1d(np.arange(len(state["score"])), pending)
        return rng.choice(free, 0 if self.how == "nothing" and state["turn"][0] else 3 * size)

    def draw(
        self, state: State, rows: np.ndarray, previewed: Signals, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, State]:
        losses = previewed["rating" if self.how == "undeclared preview" else "loss"]
        best = rows[np.argsort(losses + state["reward"] * state["score"][rows], kind="stable")]
        facts = {"loss": losses.sum(keepdims=True)}
        match self.how:
            case "not proposed":
                best = (best + 1) % N
            case "global chance":
                np.random.shuffle(best)
            case "too many":
                size += 1
            case "no plain facts":
                facts = {"loss": np.array([None])}
            case "beside its state":
                object.__setattr__(self, "turn", getattr(self, "turn", 0) + 1)
                best = np.roll(best, self.turn)
        return best[:size], facts

    def update(self, state: State, rows: np.ndarray, drawn_with: State, measured: Signals) -> State:
        reward = state["reward"] + np.tanh(drawn_with["loss"] + np.nan_to_num(measured["rating"]).sum())
        if self.how == "writes":
            state["turn"][0] += 1
        return {**state, "reward": reward, "turn": state["turn"] + 1}


@pytest.mark.parametrize(
    ("check", "cheat"),
    [
        (sampler_draws_what_it_proposed, CheatingSampler("undeclared")),
        (sampler_draws_what_it_proposed, CheatingSampler("undeclared preview")),
        (sampler_draws_what_it_proposed, CheatingSampler("nothing")),
        (sampler_draws_what_it_proposed, CheatingSampler("not proposed")),
        (sampler_draws_what_it_proposed, CheatingSampler("too many")),
        (sampler_draws_what_it_proposed, CheatingSampler("global chance")),
        (sampler_draws_what_it_proposed, CheatingSampler("no plain facts")),
        (sampler_draws_what_it_proposed, CheatingSampler("writes")),
        (sampler_goes_on_from_plain_arrays, CheatingSampler("beside its state")),
        (scorer_is_finite, CheatingScorer("undeclared")),
        (scorer_is_finite, CheatingScorer("infinite")),
        (scorer_is_the_same_in_one_batch_or_many, CheatingScorer("batch mean")),
        (scorer_permutes_with_its_rows, CheatingScorer("place")),
        (scorer_is_repeatable, CheatingScorer("global chance")),
        (scorer_fits_the_same_however_the_pool_is_cut, CheatingScorer("cut")),
        (selector_chooses_distinct_rows, CheatingSelector("undeclared")),
        (selector_chooses_distinct_rows, CheatingSelector("twice")),
        (selector_stays_within_budget, CheatingSelector("over budget")),
        (selector_is_repeatable_from_the_seed, CheatingSelector("global chance")),
        (selector_nests_if_it_says_so, CheatingSelector("not nested")),
    ],
    ids=lambda value: getattr(value, "how", getattr(value, "__name__", None)),
)
def test_a_cheat_is_caught(check: Callable, cheat: Scorer | Selector | Sampler) -> None:
    with pytest.raises(Exception):  # noqa: B017 A cheat may fail in any way, as long as it fails.
        check(cheat)


HONEST = {"score": CheatingScorer, "select": CheatingSelector, "sample": CheatingSampler}


@pytest.mark.parametrize(("kind", "check"), [(kind, check) for kind in HONEST for check in CHECKS[kind]])
def test_an_honest_method_passes(kind: str, check: Callable) -> None:
    check(HONEST[kind]("honest"))
