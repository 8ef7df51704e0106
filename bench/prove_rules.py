"""Do the four rule sets decide as datatrove's filters do? 5,000 documents, every disagreement with its cause.

    python bench/prove_rules.py ../shared/data            writes bench/results/rules.json
    python bench/prove_rules.py --golden                  writes tests/goldens/datatrove_rules.json from examples/data

`rules_documents.py` says which documents. A cause is found by experiment: our decision is computed again in plain Python
with datatrove's words, then with its number of sentences too; the first that brings the two together names the cause.
Wanted: at least 98 % equal decisions per rule set, and no disagreement without a cause.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path

import harness
import numpy as np
import rules_documents
import rules_reference
import rules_table
import zstandard

from assay import catalog
from assay.types import Batch, Texts

PEER = harness.HERE / "peers" / "datatrove_rules.py"
GOLDEN = harness.ROOT / "tests" / "goldens" / "datatrove_rules.json"
SETS = ("gopher_quality", "gopher_repetition", "c4", "fineweb")
WANTED = 0.98


def first_broken(name: str, columns: dict[str, np.ndarray], count: int) -> list[str | None]:
    """The first broken rule of each row, or None."""
    found: list[str | None] = [None] * count
    for rule in catalog.build("filter", name, {}).rules:
        for row in np.flatnonzero(rule.broken(columns)):
            found[row] = found[row] or rule.name
    return found


def measure(texts: list[str]) -> dict[str, np.ndarray]:
    """The columns of all documents."""
    block = Texts.of(texts)
    batch = Batch(np.arange(len(texts)), np.zeros(len(texts), np.uint64), {"text": block})
    return catalog.build("annotate", "text_statistics", {}).annotate(batch, {})


def ask(texts: list[str], words: bool) -> list[dict]:
    """datatrove's decisions, and its words and sentences where wanted."""
    asked, answers = harness.WORK / "rules-asked.jsonl", harness.WORK / "rules-answers.jsonl"
    harness.WORK.mkdir(exist_ok=True)
    asked.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    harness.run([harness.PEERS, PEER, asked, answers, "words" if words else "decisions"])
    return [json.loads(line) for line in answers.read_text("utf-8").splitlines()]


def cause(name: str, text: str, theirs: dict) -> str:
    """Which part of datatrove, put in place of ours, brings the decision of a document to datatrove's."""
    wanted = theirs[name] is None
    for what, given in (
        ("words", {"words": theirs["words"]}),
        ("sentences", {"words": theirs["words"], "sentences": theirs["sentences"]}),
    ):
        counts = rules_reference.count(text, **given)
        if (first_broken(name, {key: np.array([value]) for key, value in counts.items()}, 1)[0] is None) == wanted:
            return what
    return "unexplained"


def main(data: Path) -> None:
    """Compare, explain, record."""
    texts = [text for _, text in rules_documents.documents(data)]
    columns, theirs = measure(texts), ask(texts, words=False)
    facts, different = {}, {}
    for name in SETS:
        ours = first_broken(name, columns, len(texts))
        pairs = collections.Counter((mine or "kept", row[name] or "kept") for mine, row in zip(ours, theirs, strict=True))
        different[name] = [k for k, row in enumerate(theirs) if (ours[k] is None) != (row[name] is None)]
        facts[name] = {
            "equal_decisions": 1 - len(different[name]) / len(texts),
            "reasons": [[mine, other, count] for (mine, other), count in sorted(pairs.items())],
        }
    rows = sorted({row for found in different.values() for row in found})
    detail = dict(zip(rows, ask([texts[row] for row in rows], words=True), strict=True)) if rows else {}
    for name in SETS:
        causes = collections.Counter(cause(name, texts[row], detail[row]) for row in different[name])
        facts[name]["causes"] = dict(causes)
        equal = facts[name]["equal_decisions"]
        print(f"   {name}: {equal:.2%} equal of {len(texts)}; causes of the others: {dict(causes) or 'none'}")
        assert equal >= WANTED and not causes["unexplained"], f"{name}: {equal:.2%}, {causes}"
    sizes = sum(len(text.encode()) for text in texts)
    harness.record(
        "rules",
        {
            "table": rules_table.table(facts),
            "sets": facts,
            "documents": len(texts),
            "bytes": sizes,
            "peer": "datatrove 0.10.1",
        },
    )


def golden() -> None:
    """What datatrove decides on every eighth document of the example pool."""
    packed = (harness.ROOT / "examples" / "data" / "pool.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(packed).read().splitlines()
    rows = list(range(0, len(lines), 8))
    theirs = ask([json.loads(lines[row])["text"] for row in rows], words=False)
    whole = {"command": "python bench/prove_rules.py --golden", "peer": "datatrove 0.10.1", "rows": rows}
    whole |= {name: [row[name] for row in theirs] for name in SETS}
    GOLDEN.write_text(json.dumps(whole, separators=(",", ":")) + "\n", "utf-8")
    print(f"   {GOLDEN.relative_to(harness.ROOT)}: {len(rows)} documents")


if __name__ == "__main__":
    golden() if sys.argv[1:] == ["--golden"] else main(Path(sys.argv[1]))
