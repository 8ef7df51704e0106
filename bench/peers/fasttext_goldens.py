"""Train the tiny fastText models of tests/goldens/fasttext, and write what the package says of some texts beside them.

python -m pip install fasttext-wheel==0.9.2; python bench/peers/fasttext_goldens.py

One model for each loss and each way of storing: subwords or not, word n-grams or not, quantised, pruned, with and without
lengths, and with quantised output. Text is the medicine, arithmetic and contracts of examples/data (CC BY 4.0, MIT) and
sentences written for this file. Training takes one thread, so that a second run gives the same models.
"""

import json
import random
import sys
import tempfile
from pathlib import Path

import fasttext
import zstandard

ROOT = Path(__file__).parent.parent.parent
OUT = ROOT / "tests" / "goldens" / "fasttext"
KEPT = ("medicine", "arithmetic", "contracts", "speeches", "drama")
TONGUES = {
    "en": ["the cat sat on the mat", "it rains again today", "where is the old house of my father"],
    "de": ["die Katze saß auf der Matte", "heute regnet es schon wieder", "wo ist das alte Haus meines Vaters"],
    "fr": ["le chat était assis sur le tapis", "il pleut encore aujourd'hui", "où est la vieille maison de mon père"],
    "es": ["el gato se sentó en la alfombra", "hoy llueve otra vez", "dónde está la vieja casa de mi padre"],
    "ru": ["кошка сидела на ковре", "сегодня снова идёт дождь", "где старый дом моего отца"],
    "ja": ["猫がマットの上に座った", "今日もまた雨です", "父の古い家はどこですか"],
}
ODD = [
    "", " ", "\n", "a", "\0", "x\0y", "naïve café\u00a0", "\u3000日本語の文章。", "one\u2028two\u2029three\u0085four\x1cfive\x1f",
    "the </s> of and", "</s>", "__label__en the", "__label__new of and to", "the of\r\nand\n\nto", "🙂🙃", "1234567890" * 30,
    "ab " * 1200, "y" * 700, "中文" * 300, "\x1f hi \x1f", "a\u0085" * 90, "é" * 63 + "\u2028" + "b" * 62 + "\u2028c",
    *["x" * length + "\u2028y\u0085z" for length in range(58, 68)],
]  # fmt: skip


def line(text: str) -> str:
    """A document as DCLM hands it to fastText."""
    return " ".join(text.strip().splitlines())


def corpora(folder: Path) -> dict[str, str]:
    """Training files: domains, and tongues made longer by shuffling words."""
    with (ROOT / "examples" / "data" / "pool.jsonl.zst").open("rb") as file:
        rows = [json.loads(row) for row in zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()]
    rows = [row for row in rows if row["source"] in KEPT][:600]
    chance = random.Random(0)
    tongues = [(name, " ".join(chance.sample(words, len(words)))) for name, sentences in TONGUES.items()
               for words in [" ".join(sentences).split()] for _ in range(40)]  # fmt: skip
    chance.shuffle(tongues)
    many = [(f"n{number}", f"{row['text'][:60]} {number}") for number, row in enumerate(rows[:300])]
    sets = {"domains": [(row["source"], row["text"][:300]) for row in rows], "tongues": tongues, "many": many}
    sets["two"] = [("hq" if name in ("medicine", "speeches") else "cc", text) for name, text in sets["domains"]]
    for name, examples in sets.items():
        (folder / name).write_text("".join(f"__label__{label} {line(text)}\n" for label, text in examples), "utf-8")
    return {name: str(folder / name) for name in sets}


MODELS = {  # name: training set, training, quantising (None: not)
    "softmax.bin": ("two", {"dim": 8, "wordNgrams": 2, "bucket": 500, "minCount": 6}, None),
    "hs.bin": ("tongues", {"dim": 4, "minn": 2, "maxn": 4, "bucket": 400, "loss": "hs"}, None),
    "ns.bin": ("domains", {"dim": 6, "wordNgrams": 3, "bucket": 300, "loss": "ns", "minCount": 10}, None),
    "ova.bin": ("domains", {"dim": 4, "minn": 3, "maxn": 3, "bucket": 300, "loss": "ova", "minCount": 10}, None),
    "pruned.ftz": ("two", {"dim": 8, "wordNgrams": 2, "bucket": 2000, "minCount": 2}, {"cutoff": 700, "qnorm": True}),
    "lid.ftz": ("tongues", {"dim": 16, "minn": 2, "maxn": 4, "bucket": 2000, "loss": "hs"}, {"cutoff": 400, "dsub": 3}),
    "many.ftz": ("many", {"dim": 6, "minCount": 1, "loss": "hs"}, {"qout": True, "qnorm": True}),
    "vectors.bin": ("tongues", None, None),
}


def main() -> None:
    """Everything anew."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        files = corpora(Path(folder))
        texts = [row.split(" ", 1)[1] for name in files for row in Path(files[name]).read_text().splitlines()[::60]]
        texts = [*texts[:60], *ODD]
        said = {}
        for name, (source, training, quantising) in MODELS.items():
            if training is None:
                model = fasttext.train_unsupervised(files[source], dim=2, bucket=10, minCount=20, thread=1, verbose=0)
            else:
                common = {"epoch": 20, "lr": 0.5, "thread": 1, "verbose": 0}
                model = fasttext.train_supervised(files[source], **{**common, **training})
                if quantising is not None:
                    model.quantize(input=files[source], retrain=False, **quantising)
            model.save_model(str(OUT / name))
            if training is not None:
                # The inner object, because the package's own predict fails under NumPy 2.
                told = [model.f.predict(line(text) + "\n", -1, 0.0, "strict") for text in texts]
                said[name] = [
                    {label.removeprefix("__label__"): round(chance, 7) for chance, label in row[:12]} for row in told
                ]
    rows = json.dumps({"texts": texts, "models": said}, ensure_ascii=False, indent=0)
    (OUT / "said.json").write_text(rows + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
