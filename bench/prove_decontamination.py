"""Measures decontamination: recall of planted eval items by kind of corruption, false alarms on clean documents, speed.

    python bench/prove_decontamination.py ../shared/data

Items of all eval sets are planted, one each, at a random word of a clean document, after one corruption. Recall is the
share of documents whose overlap reaches the threshold of `decontaminate`. False alarms are counted over whole pools of
documents that nobody planted anything in; every alarm is listed in the result, with what was found, to be judged by eye.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from harness import record

from assay.annotate.eval_overlap import EvalOverlap
from assay.contracts import Rows
from assay.filter.decontaminate import Decontaminate
from assay.kernels.folding import word_hashes
from assay.kernels.hashing import hash_rows
from assay.types import Batch, Fitted, Signals, Texts

PLANTED = 4_000  # items of each length and kind: a recall of 0.99 is known to 0.0016
CLEAN = (
    "pool_mixed", "agnews_test", "scitldr_abstracts", "sib200_40langs", "toxic_tweets", "medquad", "webtext",
    "sgd_dialogues", "brown", "movie_reviews", "wikitext2_valid_test", "dclm_human_quality", "cuad_contracts",
)  # fmt: skip
WANTED = {"verbatim": 0.995, "re-wrapped": 0.995, "cased": 0.99, "re-punctuated": 0.99, "10 % of words edited": 0.9}


# --- In memory --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory(Rows):
    """Texts as rows of one batch."""

    batch: Batch

    @classmethod
    def of(cls, texts: list[str], labels: list[str] | None = None) -> Memory:
        block = Texts.of(texts)
        columns = {"text": block} | ({} if labels is None else {"label": Texts.of(labels)})
        return cls(Batch(np.arange(len(texts)), hash_rows(block.data, block.offsets), columns))

    def reduce(self, part: Callable, merge: Callable) -> Any:
        return part(self.batch)

    def sample(self, k: int) -> Batch:
        rows = np.sort(np.argsort(self.batch.hashes, kind="stable")[:k])
        return Batch(rows, self.batch.hashes[rows], {name: one.take(rows) for name, one in self.batch.columns.items()})

    def __len__(self) -> int:
        return len(self.batch)


def read(path: Path) -> Iterator[dict[str, Any]]:
    with (zstandard if path.suffix == ".zst" else gzip).open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def texts_of(folder: Path, name: str) -> list[str]:
    return [row["text"] for row in read(next(folder.glob(f"text/{name}.jsonl.*")))]


def learn(items: list[tuple[str, str]], pool: Memory) -> Fitted:
    target = Memory.of([text for text, _ in items], [label for _, label in items])
    return EvalOverlap().learn(pool, target, Signals({}), None, np.random.default_rng(0))


def overlaps(fitted: Fitted, texts: list[str]) -> tuple[np.ndarray, np.ndarray, Texts]:
    columns = EvalOverlap().annotate(Memory.of(texts).batch, {"fitted": fitted})
    return columns["eval_overlap"], columns["eval_item"], columns["eval_span"]


# --- Corruptions ------------------------------------------------------------------------------------------------------


def rewrapped(text: str, draw: random.Random) -> str:
    words = text.split()
    return "\n".join(" ".join(words[k : k + 8]) for k in range(0, len(words), 8))


def cased(text: str, draw: random.Random) -> str:
    return draw.choice((str.upper, str.lower, str.title, str.swapcase))(text)


def repunctuated(text: str, draw: random.Random) -> str:
    """Every mark dropped or another one, and new ones behind a tenth of the words."""
    changed = "".join(
        draw.choice((" ", " - ", "; ", "! ")) if unicodedata.category(c)[0] == "P" and c not in "'’" else c
        for c in text
    )
    return " ".join(word + draw.choice(".,;:!?…") if draw.random() < 0.1 else word for word in changed.split())


def edited(share: float) -> Callable[[str, random.Random], str]:
    """Each word with probability `share` substituted, deleted, or followed by another word."""

    def edit(text: str, draw: random.Random) -> str:
        out = []
        for word in text.split():
            kind = draw.choice("sdi") if draw.random() < share else "keep"
            out += {"s": [draw.choice(VOCABULARY)], "d": [], "i": [word, draw.choice(VOCABULARY)], "keep": [word]}[kind]
        return " ".join(out)

    return edit


def form(name: str) -> Callable[[str, random.Random], str]:
    return lambda text, draw: unicodedata.normalize(name, text)


def curly(text: str, draw: random.Random) -> str:
    text = re.sub(r'(^|[\s(])"', r"\1“", text).replace('"', "”").replace("'", "’")
    return text.replace("-", "‑").replace("...", "…").replace(" ", "\u00a0")


def full_width(text: str, draw: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def accented(text: str, draw: random.Random) -> str:
    """A third of the vowels with an accent, as one character or as two."""
    marks = ("\u0301", "\u0300", "\u0308")
    return unicodedata.normalize(
        draw.choice(("NFC", "NFD")),
        "".join(c + draw.choice(marks) if c in "aeiouAEIOU" and draw.random() < 0.33 else c for c in text),
    )


def invisible(text: str, draw: random.Random) -> str:
    return "".join(c + draw.choice("\u00ad\u200b\u200d\ufeff") if draw.random() < 0.1 else c for c in text)


KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "verbatim": lambda text, draw: text,
    "re-wrapped": rewrapped,
    "cased": cased,
    "re-punctuated": repunctuated,
    "5 % of words edited": edited(0.05),
    "10 % of words edited": edited(0.1),
    "15 % of words edited": edited(0.15),
    "20 % of words edited": edited(0.2),
    "NFKC": form("NFKC"),
    "NFD": form("NFD"),
    "curly quotes, hard spaces": curly,
    "full-width": full_width,
    "accents": accented,
    "invisible characters": invisible,
}
VOCABULARY: list[str] = []


def planted(item: str, document: str, draw: random.Random) -> str:
    words = document.split(" ")
    place = draw.randint(0, len(words))
    return " ".join([*words[:place], item, *words[place:]])


def recall(fitted: Fitted, items: list[str], clean: list[str], kind: str, threshold: float) -> dict[str, Any]:
    draw = random.Random(f"decontamination {kind}")
    chosen = draw.sample(range(len(items)), min(PLANTED, len(items)))
    hosts = draw.choices(clean, k=len(chosen))
    found = overlaps(
        fitted, [planted(KINDS[kind](items[k], draw), host, draw) for k, host in zip(chosen, hosts, strict=True)]
    )[0]
    return {"planted": len(chosen), "recall": round(float((found >= threshold).mean()), 4)} | {
        f"recall_at_{cut}": round(float((found >= cut).mean()), 4) for cut in (0.6, 0.65, 0.75, 0.8)
    }


def has_thirteen(item: str, changed: str) -> bool:
    """Whether a run of 13 words survived: what a 13-gram needs."""
    runs = {tuple(words[k : k + 13]) for words in [re.findall(r"\w+", item.lower())] for k in range(len(words) - 12)}
    words = re.findall(r"\w+", changed.lower())
    return any(tuple(words[k : k + 13]) in runs for k in range(len(words) - 12))


# --- Questions --------------------------------------------------------------------------------------------------------


def by_length(items: list[tuple[str, str]]) -> dict[str, list[str]]:
    block = Texts.of([text for text, _ in items])
    lengths = np.diff(word_hashes(block.data, block.offsets)[1])
    edges = {"20 words or more": (20, 10**9), "8 to 19 words": (8, 20)}
    return {
        name: [items[k][0] for k in np.flatnonzero((lengths >= low) & (lengths < high))]
        for name, (low, high) in edges.items()
    }


def alarms(fitted: Fitted, texts: list[str], threshold: float) -> list[dict[str, Any]]:
    overlap, item, span = overlaps(fitted, texts)
    return [
        {"overlap": round(float(overlap[k]), 3), "item": int(item[k]), "span": span[k], "text": texts[k][:200]}
        for k in np.flatnonzero(overlap >= threshold).tolist()
    ]


def judged(found: list[dict[str, Any]], items: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Alarms with the item, and what a person said of the pair; one that nobody looked at counts as false."""
    return [one | {"eval": items[one["item"]][0][:200], "verdict": VERDICTS.get(one["span"], "false")} for one in found]


def rephrased(folder: Path, threshold: float, pool: Memory) -> dict[str, Any]:
    """What share of reworded items is found, each looked for among all items of its set."""
    out: dict[str, Any] = {}
    for name in ("gsm8k_rephrased", "humaneval_rephrased"):
        rows = list(read(folder / f"decontam/{name}.jsonl.gz"))
        tests = list(dict.fromkeys(row["test_text"] for row in rows))
        fitted = learn([(text, str(k)) for k, text in enumerate(tests)], pool)
        overlap, item, _ = overlaps(fitted, [row["text"] for row in rows])
        right = np.array([tests[k] == row["test_text"] if k >= 0 else False for k, row in zip(item, rows, strict=True)])
        groups = [row.get("label", "question") for row in rows]
        for group in sorted(set(groups)):
            mask = np.array([one == group for one in groups])
            hit = (overlap >= threshold) & right & mask
            out[f"{name}, {group}"] = {"rows": int(mask.sum()), "found": round(float(hit.sum() / mask.sum()), 4)}
    rows = list(read(folder / "decontam/codealpaca_vs_humaneval.jsonl.gz"))
    pairs = [(text, row["test_text"], leak) for row in rows
             for text, leak in zip(row["candidates"], row["judged_contaminated"], strict=True)]  # fmt: skip
    fitted = learn([(row["test_text"], row["id"]) for row in rows], pool)
    found = overlaps(fitted, [text for text, _, _ in pairs])[0] >= threshold
    for leak in (True, False):
        mask = np.array([one[2] == leak for one in pairs])
        name = "codealpaca, judged a leak" if leak else "codealpaca, judged no leak"
        out[name] = {"rows": int(mask.sum()), "found": round(float(found[mask].mean()), 4)}
    return out


def speed(fitted: Fitted, texts: list[str]) -> float:
    """MB/s of processor time on clean documents, the best of five."""
    batch, seconds = Memory.of(texts).batch, []
    for _ in range(5):
        start = time.thread_time()
        EvalOverlap().annotate(batch, {"fitted": fitted})
        seconds.append(time.thread_time() - start)
    return float(batch.text.sizes.sum() / 1e6 / min(seconds))


def main() -> None:
    folder, threshold = Path(sys.argv[1]), Decontaminate().threshold
    sets = {path.name.split(".")[0]: list(read(path)) for path in sorted(folder.glob("eval/*.jsonl.gz"))}
    items = [(row["text"], f"{name}.jsonl {row['id']}") for name, rows in sets.items() for row in rows]
    clean = texts_of(folder, "pool_mixed")
    pool = Memory.of(clean)
    VOCABULARY.extend(word for text in clean[::50] for word in text.split())
    start = time.perf_counter()
    fitted = learn(items, pool)
    facts: dict[str, Any] = {"threshold": threshold, "items": len(items), "notes": dict(fitted.notes)}
    facts["learn_seconds"] = round(time.perf_counter() - start, 1)
    facts["index_bytes_per_word"] = round(
        sum(array.nbytes for array in fitted.arrays.values()) / len(fitted.arrays["words"]), 1
    )
    facts["recall"] = {
        length: {kind: recall(fitted, chosen, clean, kind, threshold) for kind in KINDS}
        for length, chosen in by_length(items).items()
    }
    for length, kinds in facts["recall"].items():
        for kind, found in kinds.items():
            print(f"   {length}: {kind:28} {found}")
    draw = random.Random(1)
    long = draw.sample(by_length(items)["20 words or more"], PLANTED)
    facts["thirteen_gram_survives_10_percent"] = float(np.mean([has_thirteen(x, edited(0.1)(x, draw)) for x in long]))
    questions = [row["context"] for row in sets["gsm8k"]]
    facts["gsm8k_question_without_answer"] = float((overlaps(fitted, questions)[0] >= threshold).mean())
    print(f"   13-gram survives {facts['thirteen_gram_survives_10_percent']:.3f}")
    print(f"   gsm8k question without its answer {facts['gsm8k_question_without_answer']:.3f}")
    everything = list(dict.fromkeys(text for name in CLEAN for text in texts_of(folder, name)))
    for name, texts in (("pool_mixed", clean), ("all clean sets", everything)):
        found = judged(alarms(fitted, texts, threshold), items)
        false = [one for one in found if one["verdict"] != "true"]
        facts[f"alarms in {name}"] = {
            "documents": len(texts), "alarms": len(found), "false": len(false),
            "false_per_10_000": round(1e4 * len(false) / len(texts), 3), "found": found,
        }  # fmt: skip
        print(f"   {name}: {len(texts):,} documents, {len(found)} alarms, {len(false)} false")
        for one in found:
            print(f"      {one['verdict']} {one['overlap']} {one['span']} <- {one['eval']!r}")
    train = [f"{row['instruction']}\n{row['output']}" for row in read(folder / "instruct/gsm8k_train.jsonl.gz")]
    found = judged(alarms(learn([one for one in items if "gsm8k" in one[1]], pool), train, threshold),
                   [one for one in items if "gsm8k" in one[1]])  # fmt: skip
    facts["gsm8k train against test"] = {"documents": len(train), "alarms": len(found), "found": found}
    print(f"   gsm8k train: {len(train):,} documents, {len(found)} alarms")
    for one in found:
        print(f"      {one['verdict']} {one['overlap']} {one['span']} <- {one['eval']!r}")
    facts["each set alone, alarms in pool_mixed"] = {}
    for name in sets:
        mine = [one for one in items if one[1].startswith(f"{name}.")]
        found = judged(alarms(learn(mine, pool), clean, threshold), mine)
        facts["each set alone, alarms in pool_mixed"][name] = {"alarms": len(found), "found": found}
        print(f"   {name}: {len(found)} alarms", *[f"\n      {one['span']} <- {one['eval']!r}" for one in found])
    facts["rephrased"] = rephrased(folder, threshold, pool)
    for name, found in facts["rephrased"].items():
        print(f"   {name}: {found}")
    facts["mb_per_second_per_core"] = round(speed(fitted, clean), 1)
    print(f"   {facts['mb_per_second_per_core']} MB/s a core")
    facts["table"] = table(facts["recall"])
    record("decontamination", facts)
    missed = [kind for kind, least in WANTED.items() if facts["recall"]["20 words or more"][kind]["recall"] < least]
    if missed or any(facts[f"alarms in {name}"]["false_per_10_000"] > 1 for name in ("pool_mixed", "all clean sets")):
        sys.exit(f"not what was asked for: {', '.join(missed) or 'false alarms'}")


def table(recalls: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Recall by corruption and length, as text."""
    long, short = (recalls[length] for length in ("20 words or more", "8 to 19 words"))
    return {
        "columns": ["what was done to the item", "items of 20 words or more", "wanted", "items of 8 to 19 words"],
        "rows": [
            [
                kind,
                f"{long[kind]['recall']:.4f}",
                f"{WANTED[kind]:g}" if kind in WANTED else "",
                f"{short[kind]['recall']:.4f}",
            ]
            for kind in KINDS
        ],
    }


# What a person said of each alarm, by its span: `true` where the document does hold the item.
VERDICTS: dict[str, str] = {
    # A page on anaemia says the fact that the question asks for, in words of its own; neither question nor choices.
    "arc_easy.jsonl arc_easy-01255: “the three types of blood cells that the body needs: Red blood cells, which carry oxygen to "
    "all parts of your body”": "false",
    # Overheard talk: somebody brags that the square root of 169 times 2 is 13; another question.
    "triviaqa_sm_sub.jsonl triviaqa_sm_sub-01353: “the square root of 169 times 2? It's 13”": "false",
}

if __name__ == "__main__":
    main()
