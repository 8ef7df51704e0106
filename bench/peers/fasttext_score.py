"""The peer: what a script does with the fasttext package: read JSON lines, score each text, keep the lines that pass.

python fasttext_score.py MODEL POOL OUT LABEL LEAST; prints how many lines were kept.
"""

import json
import sys

import fasttext


def main(model_path: str, pool: str, out: str, label: str, least: float) -> None:
    """One line after another, as DCLM's own code does it."""
    model = fasttext.load_model(model_path)
    kept = 0
    with open(pool, "rb") as lines, open(out, "wb") as file:
        for line in lines:
            text = " ".join(json.loads(line)["text"].strip().splitlines())
            # The inner object: the package's own predict fails under NumPy 2, and is slower.
            best, chance = 0.0, 0.0
            for chance, name in model.f.predict(text + "\n", 2 if label == "__label__hq" else 1, 0.0, "strict"):
                if name == label:
                    best = chance
            if best >= least:
                file.write(line)
                kept += 1
    print(kept)


if __name__ == "__main__":
    main(*sys.argv[1:5], float(sys.argv[5]))
