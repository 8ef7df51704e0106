"""Personal details: precision and recall for each kind on labelled text, and what is found in text that has hardly any.

    python bench/prove_unsafe.py ../shared/data [--presidio /path/of/its/python]

Labels: `text/pii_synthetic.jsonl.gz`, 1,500 sentences made from templates, with character spans. The rules were written
looking at the sentences of even templates only; those of odd templates are held out, and the figures to believe. A label
is found if a span of its kind overlaps it (`exact`: has its very limits); a span that overlaps no label of its kind is false.
Clean text: encyclopaedia, press and fiction of 1961, abstracts, forty languages; all that is found there counts as false.

Beside it, on the same sentences: datatrove's PIIFormatter (e-mail and IP addresses; bench/peers/.venv) and, where a Python
that has it is named, Presidio's pattern recognizers without its language models. Writes bench/results/unsafe.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

from assay.kernels.pii import KINDS, details
from assay.types import Texts

KIND = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IBAN_CODE": "iban", "US_SSN": "ssn",
    "IP_ADDRESS": "ip",
}  # fmt: skip
CLEAN = ("wikitext2_valid_test", "brown", "scitldr_abstracts", "sib200_40langs")
HERE = Path(__file__).parent
Span = tuple[str, int, int]
HALVES = {"held out": lambda row: row["template"] % 2 == 1, "all": lambda row: True}


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def ours(texts: list[str]) -> list[list[Span]]:
    """What we find, in characters."""
    made = Texts.of(texts)
    found: list[list[Span]] = [[] for _ in texts]
    raw = made.data.tobytes()
    for row, start, stop, kind in details(made.data, made.offsets).tolist():
        first = int(made.offsets[row])
        before, inside = raw[first:start].decode(), raw[start:stop].decode()
        found[row].append((KINDS[kind], len(before), len(before) + len(inside)))
    return found


def theirs(python: str, peer: str, texts: list[str]) -> tuple[list[list[Span]], float]:
    """What a peer finds, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
        command = [python, str(HERE / "peers" / "pii_peers.py"), peer, str(source), str(out)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        found = [[tuple(span) for span in json.loads(line)] for line in out.read_text("utf-8").splitlines()]
    return found, float(ran.stdout.split()[-1])


def scores(
    rows: list[dict[str, Any]], found: list[list[Span]], keep: Callable[[dict], bool]
) -> dict[str, dict[str, int]]:
    """Labels, labels found, found with their very limits, spans, and false ones, by kind."""
    counts = {kind: Counter(labels=0, found=0, exact=0, spans=0, false=0) for kind in KIND.values()}
    for row, spans in zip(rows, found, strict=True):
        if not keep(row):
            continue
        labels = [(KIND[span["type"]], span["start"], span["end"]) for span in row["spans"] if span["type"] in KIND]
        for kind, start, stop in labels:
            same = [span for span in spans if span[0] == kind and span[1] < stop and start < span[2]]
            counts[kind].update(labels=1, found=bool(same), exact=(kind, start, stop) in spans)
        for kind, start, stop in spans:
            if kind in counts:
                hit = any(label[0] == kind and label[1] < stop and start < label[2] for label in labels)
                counts[kind].update(spans=1, false=not hit)
    return {kind: dict(count) for kind, count in counts.items()}


def show(name: str, half: str, counts: dict[str, dict[str, int]]) -> list[list[str]]:
    rows = []
    for kind, count in counts.items():
        if count["spans"] or name == "assay":
            recall = f"{count['found']} of {count['labels']}"
            precision = f"{count['spans'] - count['false']} of {count['spans']}"
            rows.append([half, kind, name, recall, f"{count['exact']} of {count['labels']}", precision])
            print(f"   {half:9} {kind:6} {name:10} recall {recall:12} precision {precision}")
    return rows


def alarms(data: Path) -> dict[str, Any]:
    """What is found in clean text, for each file, and a megabyte of all."""
    result: dict[str, Any] = {}
    size = count = 0
    for name in CLEAN:
        texts = [row["text"] for row in read(data / "text" / f"{name}.jsonl.gz")]
        kinds = Counter(kind for spans in ours(texts) for kind, _, _ in spans)
        mega = sum(len(text.encode()) for text in texts) / 1e6
        result[name] = {"megabytes": round(mega, 2), **kinds}
        size, count = size + mega, count + kinds.total()
        print(f"   clean {name}: {dict(kinds) or 'nothing'} in {mega:.1f} MB")
    return {**result, "per_megabyte": round(count / size, 3)}


def main() -> None:
    """Count, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--presidio", help="a Python that has presidio-analyzer")
    given = parser.parse_args()
    rows = read(given.data / "text" / "pii_synthetic.jsonl.gz")
    texts = [row["text"] for row in rows]
    ours(texts[:10])  # compiled once
    begun = time.perf_counter()
    found = {"assay": ours(texts)}
    seconds = {"assay": time.perf_counter() - begun}
    peers = {"datatrove": str(HERE / "peers" / ".venv" / "bin" / "python"), "presidio": given.presidio}
    for peer, python in peers.items():
        if python and Path(python).exists():
            found[peer], seconds[peer] = theirs(python, peer, texts)
    table, counts = [], {}
    for half, keep in HALVES.items():
        for name, spans in found.items():
            counts[f"{name}, {half}"] = scores(rows, spans, keep)
            table += show(name, half, counts[f"{name}, {half}"])
    harness.record(
        "unsafe",
        {
            "about": "personal details found on text/pii_synthetic (held out: odd templates), and false alarms on clean text",
            "columns": [
                "sentences",
                "kind",
                "package",
                "labels found",
                "with their very limits",
                "spans that are right",
            ],
            "table": table,
            "counts": counts,
            "seconds": {name: round(taken, 3) for name, taken in seconds.items()},
            "clean": alarms(given.data),
        },
    )


if __name__ == "__main__":
    main()
