"""Build `examples/data/` from a folder of openly licensed sets: `python examples/make_data.py FOLDER`.

A pool of eight domains and two kinds of noise, a target of 60 scientific abstracts that are not in the pool, and 300
more of them, held out, for `assay verify`. Only sets whose licence allows copies with attribution are used; their
origins and licences are in `examples/data/README.md`. The same input gives the same bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import zstandard

HERE = Path(__file__).parent / "data"
TARGET, HELD_OUT = 60, 300
LONGEST = 1400  # characters of a document: long ones are cut at a space
OVERLAP = 10  # held-out documents share no run of so many words with the pool or the target
#          domain       file                                  documents in the pool
DOMAINS = {
    "abstracts": ("text/scitldr_abstracts.jsonl.gz", 1200),
    "medicine": ("text/medquad.jsonl.zst", 2000),
    "contracts": ("text/cuad_contracts.jsonl.zst", 900),
    "reviews": ("text/movie_reviews.jsonl.gz", 900),
    "dialogues": ("text/sgd_dialogues.jsonl.gz", 1400),
    "encyclopaedia": ("text/wikitext2_valid_test.jsonl.gz", 700),
    "speeches": ("text/inaugural.jsonl.gz", 350),
    "drama": ("text/tiny_shakespeare.jsonl.gz", 350),
    "arithmetic": ("instruct/gsm8k_train.jsonl.gz", 1200),
}
BOILERPLATE = (
    "Click here to subscribe to our newsletter.", "All rights reserved.", "Accept all cookies to continue.",
    "Sign in or create an account.",
    "Share this page with your friends!", "You may also like these products.", "Terms of use and privacy policy.",
    "Add to basket.",
    "Free delivery on orders over 50.", "Please enable JavaScript to view this page.", "Read more ...",
    "Home > Shop > Sale > Page",
)  # fmt: skip


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a .jsonl.gz or .jsonl.zst file."""
    raw = path.read_bytes()
    unpacked = (
        gzip.decompress(raw)
        if path.suffix == ".gz"
        else zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True).read()
    )
    yield from map(json.loads, io.BytesIO(unpacked))


def documents(path: Path) -> Iterator[str]:
    """Texts of at most LONGEST characters; of a longer one, at most six pieces."""
    for row in rows(path):
        text = row["text"] if "text" in row else f"{row['instruction']}\n{row['output']}"
        for _ in range(6):
            cut = len(text) if len(text) <= LONGEST else text.rfind(" ", 0, LONGEST) + 1 or LONGEST
            piece, text = text[:cut].strip(), text[cut:]
            if len(piece) >= 80:
                yield piece


def noise(kind: str, texts: list[str], draw: random.Random) -> str:
    """A document of no use: one with its characters shuffled, or web boilerplate."""
    if kind == "shuffled":
        return "".join(draw.sample(text := draw.choice(texts)[:600], len(text)))
    return " ".join(draw.choices(BOILERPLATE, k=draw.randint(4, 25)))


def grams(text: str) -> set[tuple[str, ...]]:
    """All runs of OVERLAP words, in lower case."""
    words = text.lower().split()
    return {tuple(words[at : at + OVERLAP]) for at in range(max(1, len(words) - OVERLAP + 1))}


def main(folder: Path) -> None:
    """Write pool.jsonl.zst, target.jsonl and heldout.jsonl."""
    draw = random.Random(2)
    texts: dict[str, list[str]] = {}
    for domain, (name, _) in DOMAINS.items():
        unique = list(dict.fromkeys(documents(folder / name)))
        draw.shuffle(unique)
        texts[domain] = unique
    chosen = {domain: texts[domain][:count] for domain, (_, count) in DOMAINS.items()}
    rest = texts["abstracts"][DOMAINS["abstracts"][1] :]
    target, others = rest[:TARGET], rest[TARGET:]
    taken = set().union(*(grams(text) for part in [*chosen.values(), target] for text in part))
    held_out = [text for text in others if not grams(text) & taken][:HELD_OUT]
    plain = [text for part in chosen.values() for text in part]
    pool = [(domain, text) for domain, part in chosen.items() for text in part]
    pool += [(kind, noise(kind, plain, draw)) for kind in ("shuffled", "boilerplate") for _ in range(500)]
    draw.shuffle(pool)
    lines = [line(f"pool-{number:05d}", text, domain) for number, (domain, text) in enumerate(pool)]
    HERE.mkdir(exist_ok=True)
    (HERE / "pool.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(b"".join(lines)))
    for name, part in (("target", target), ("heldout", held_out)):
        (HERE / f"{name}.jsonl").write_bytes(
            b"".join(line(f"{name}-{k:03d}", text, "abstracts") for k, text in enumerate(part))
        )
    print(
        f"{len(pool)} rows, {sum(map(len, lines)) / 1e6:.1f} MB; "
        f"{len(target)} target and {len(held_out)} held-out documents"
    )


def line(id: str, text: str, source: str) -> bytes:
    """One JSON line."""
    return json.dumps({"id": id, "text": text, "source": source}, ensure_ascii=False).encode() + b"\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
