"""The tokenizer of the neural proxies: byte-level BPE of 2,048 tokens, the same for every arm, choice and run.

    python bench/train_tokenizer.py ../shared/data          writes src/assay/models/tokenizer-2048.json

Trained on sets whose licences allow a model made of them to be shipped (public domain, CC BY, CC BY-SA, MIT, Apache-2.0):
prose of nine domains, 40 languages, code, instructions. Of each set at most as many bytes as `SETS` says, so that
no domain's habits fill the vocabulary. Pieces are cut as GPT-2 cuts them (Radford et al. 2019); every byte is a token, so
no text is unknown (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909, over bytes). Token 0 ends a document: no
merge makes it and it is not marked as special, so no text can spell it.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import zstandard
from harness import ROOT
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

OUT = ROOT / "src" / "assay" / "models" / "tokenizer-2048.json"
SIZE, END = 2048, "<|end|>"
FIELDS = ("text", "instruction", "input", "output")
SETS = {  # bytes of text at most; the medical and legal sets repeat themselves, so they get less
    "text/medquad.jsonl.zst": 400_000,
    "text/cuad_contracts.jsonl.zst": 400_000,
    "text/movie_reviews.jsonl.gz": 800_000,
    "text/sgd_dialogues.jsonl.gz": 400_000,
    "text/scitldr_abstracts.jsonl.gz": 800_000,
    "text/wikitext2_valid_test.jsonl.gz": 800_000,
    "text/tiny_shakespeare.jsonl.gz": 400_000,
    "text/inaugural.jsonl.gz": 400_000,
    "text/sib200_40langs.jsonl.gz": 1_600_000,
    "instruct/gsm8k_train.jsonl.gz": 400_000,
    "instruct/self_instruct_seed_user.jsonl.gz": 200_000,
    "instruct/toolformer_near_dup.jsonl.gz": 200_000,
    "decontam/humaneval_rephrased.jsonl.gz": 600_000,
}


def texts(path: Path, most: int) -> Iterator[str]:
    """Texts of one set, a share of its rows spread evenly, `most` bytes in all."""
    with path.open("rb") as file:
        raw = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else zstandard.ZstdDecompressor().stream_reader(file)
        rows = [json.loads(line) for line in io.TextIOWrapper(raw, "utf-8", newline="\n")]
    whole = ["\n".join(row[name] for name in FIELDS if row.get(name)) for row in rows]
    size = sum(len(text.encode()) for text in whole)
    step, spent = max(1.0, size / most), 0
    for place in range(int(len(whole) / step)):
        text = whole[int(place * step)]
        spent += len(text.encode())
        if spent > most:
            return
        yield text


def main() -> None:
    """Train, take the mark of a special token away from token 0, write."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT.parent / "shared" / "data")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    held = [text for name, most in SETS.items() for text in texts(data / name, most)]
    tokenizer.train_from_iterator(held, trainer)
    stored = json.loads(tokenizer.to_str())
    stored["added_tokens"] = []
    assert stored["model"]["vocab"][END] == 0 and len(stored["model"]["vocab"]) == SIZE
    OUT.write_text(json.dumps(stored, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    size, tokens = sum(len(t.encode()) for t in held), sum(len(tokenizer.encode(t).ids) for t in held)
    print(f"{OUT.relative_to(ROOT)}: {size / 1e6:.1f} MB of text, {size / tokens:.2f} bytes a token")


if __name__ == "__main__":
    sys.exit(main())
