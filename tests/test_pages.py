"""The pages say nothing that does not run: commands and recipes of the README and of docs/, as a stranger types them."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
from glob import glob
from pathlib import Path

import image_pairs
import numpy as np
import photos
import pytest
import transformers
from command import ROOT, assay, jsonl, line, packed, unpacked

from assay.handout import SHIPPED
from assay.models.language import language_of

GOLDENS = ROOT / "tests" / "goldens" / "fasttext"
NAMES = ("README.md", *(f"docs/{name}.md" for name in ("clean", "fine-tuning", "mix", "pictures", "image-text")))
PAGES = {name: (ROOT / name).read_text("utf-8") for name in NAMES}


RECIPE = """
pool = "pool"
target = "target.jsonl"
steps = [{ score = "dsir" }, { select = "top_k", budget = "40" }]
"""

BOARD = """
budgets = ["20%bytes"]
seeds = 3

[[pool]]
name = "some"
path = "pool/*.jsonl"

[[task]]
name = "ours"
pool = "some"
target = "target.jsonl"
eval = "heldout.jsonl"

[[method]]
name = "dsir"
method = "dsir"

[[proxy]]
name = "ngram"
units = 9_000
"""
# What asks for more than this pool has: its own tests have a server, conversations, a trained network, a cluster, a store.
ELSEWHERE = (
    "assay rate ",
    " --instructions ",
    "lm-nano",
    " --engine ray ",
    "s3://",
)


def commands(page: str) -> list[str]:
    """The `assay` commands of a page's console blocks, in order, without what is said of them; each once."""
    blocks = re.findall(r"```console\n(.*?)```", PAGES[page], re.DOTALL)
    found = [one[2:].split("  #")[0].strip() for one in "\n".join(blocks).splitlines() if one.startswith("$ assay ")]
    return list(dict.fromkeys(found))


def typed(command: str) -> list[str]:
    """A command's words as a shell hands them over: what is not quoted is looked up among the files."""
    found = []
    for word in shlex.split(command, posix=False)[1:]:
        plain = shlex.split(word)[0]
        found += sorted(glob(word)) if "*" in word and word == plain and glob(word) else [plain]
    return found


def base(folder: Path) -> None:
    """A causal model as one downloads it, tiny: config, weights, tokenizer."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=2048, max_position_embeddings=128, bos_token_id=0, eos_token_id=0, **sizes)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = language_of("lm-nano").tokenizer
    transformers.PreTrainedTokenizerFast(tokenizer_file=tokenizer, eos_token="<|end|>").save_pretrained(folder)


def images(place: Path) -> None:
    """Labelled pictures in the three ways of docs/pictures.md, pairs of pictures and words, and a CLIP under a hub's name."""
    taken = photos.photos(12)
    photos.folder(place / "photos", taken)
    photos.archive(place / "photos.zip", taken)
    jsonl(place / "photos_labels.jsonl", [{"image": name, "human_majority": name.split("/")[0]} for name in taken])
    pixels = np.stack([photos.pixels(label, number) for label in ("blue", "red") for number in range(12)])
    np.savez(place / "digits.npz", x=pixels, y=np.repeat([0, 1], 12))
    image_pairs.archive(place / "pairs.tar", image_pairs.pairs()[20:])
    image_pairs.archive(place / "clean.tar", image_pairs.pairs()[:20])
    (place / "openai").mkdir()
    image_pairs.tiny_clip(place / "openai/clip-vit-base-patch32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every file that the pages name, with little in it."""
    monkeypatch.chdir(tmp_path)
    lines = unpacked(ROOT / "examples/data/pool.jsonl.zst").splitlines()[:160]
    pool = [{**json.loads(row), "metadata": {"edu_score": number % 6}} for number, row in enumerate(lines)]
    sources = [{**row, "source": "code" if number % 2 else "web"} for number, row in enumerate(pool)]
    spam = [{"text": f"win free prizes now number {number} click here " * 4} for number in range(20)]
    for number, some in enumerate((pool[:80], pool[80:])):
        packed(tmp_path / f"crawl/{number}.jsonl.zst", b"".join(line(row) + b"\n" for row in some))
        jsonl(tmp_path / f"crawl/{number}.jsonl", some)
        jsonl(tmp_path / f"pool/{number}.jsonl", sources[number * 80 : number * 80 + 80])
    for name in ("target", "t", "code", "math", "wiki", "good", "textbooks", "mine", "other"):
        jsonl(
            tmp_path / f"{name}.jsonl", [{"text": row["text"], "rating": 1 + len(row["text"]) % 4} for row in pool[:30]]
        )
    for name in ("spam", "bad"):
        jsonl(tmp_path / f"{name}.jsonl", spam)
    shutil.copy(ROOT / "examples/data/heldout.jsonl", tmp_path / "heldout.jsonl")
    asked = [{"instruction": row["text"][:40], "output": row["text"][40:240]} for row in pool]
    for name, part in {"instructions": asked[:100], "task": asked[100:120]}.items():
        jsonl(tmp_path / f"{name}.jsonl", part)
    base(tmp_path / "base")
    jsonl(tmp_path / "gsm8k.jsonl", [{"text": pool[20]["text"][:300]}])
    for name in ("a", "b"):
        packed(tmp_path / f"code/{name}.py", f"import {name}\nprint('the {name} of that village')\n".encode())
    shutil.copy(tmp_path / "good.jsonl", packed(tmp_path / "ratings/ratings.jsonl", b""))
    packed(tmp_path / "words.txt", b"lorem\n")
    packed(tmp_path / "prompt.txt", b"Rate this from 0 to 5.\n\n{text}\n")
    shutil.copy(GOLDENS / "lid.ftz", tmp_path / "lid.176.bin")
    packed(tmp_path / "recipe.toml", RECIPE.encode())
    packed(tmp_path / "recipes/board.toml", BOARD.encode())
    questions = [{"query": f"Is {n} even?", "choices": ["yes", "no"], "gold": n % 2} for n in range(9)]
    packed(tmp_path / "eval/even.jsonl.gz", b"".join(line(row) + b"\n" for row in questions))
    results = [(arm, seed, 2 + seed / 9) for arm in ("choice", "random") for seed in range(3)]
    names = ("arm", "seed", "value")
    shutil.copy(SHIPPED, tmp_path / "tokenizer.json")
    parts = [(number % 11 / 10, 1 - number % 11 / 10) for number in range(11)]
    runs = [f"{web},{code},{2 + math.exp(web - code):.4f}" for web, code in parts]
    images(tmp_path)
    packed(tmp_path / "runs.csv", "\n".join(["web,code,validation_loss", *runs]).encode())
    jsonl(
        tmp_path / "results.jsonl",
        [dict(zip(names, row, strict=True)) | {"task": "ours", "metric": "loss"} for row in results],
    )
    return tmp_path


BARS = ("select", "clean", "report", "verify", "arms", "board", "mix")
WORKERS = ("select", "clean", "verify", "arms", "board", "mix")


def quiet(words: list[str]) -> list[str]:
    """The same without bars and with one worker, and as small as this pool: its row 3, and kilobytes in place of more."""
    words = [re.sub(r"^(\d)\d*(MB|GB)$", r"\g<1>0kB", word) for word in words]
    words = [re.sub(r"^1e9tokens$", "2e4tokens", word) for word in words]
    if words[0] == "why":
        return [*words[:2], "3"]
    bars = ["-q"] if words[0] in BARS else []
    bars += ["--tried", "50"] if words[0] == "mix" and "--trials" not in words else []
    return [*words, *bars, *(["--workers", "1"] if words[0] in WORKERS and "--results" not in words else [])]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs_in_the_order_of_the_page(folder: Path, page: str):
    for command in commands(page):
        words = typed(command)
        if "--out" in words:  # a page writes run/ more than once; nobody keeps them all
            shutil.rmtree(folder / words[words.index("--out") + 1], ignore_errors=True)
        if any(word in f"{command} " for word in ELSEWHERE):
            continue
        answer = assay(*quiet(words), *(["--decontaminate"] if words[0] == "verify" else []))
        assert answer.code == 0 and answer.out, f"{command}\n{answer.err}"


@pytest.mark.parametrize("page", PAGES)
def test_every_recipe_runs(folder: Path, page: str):
    for number, recipe in enumerate(re.findall(r"```toml\n(.*?)```", PAGES[page], re.DOTALL)):
        packed(folder / f"{number}.toml", recipe.encode())
        asked = ["select", "photos"] if page == "docs/pictures.md" else ["clean", "crawl/0.jsonl"]
        words = [*asked, "--recipe", f"{number}.toml", "--out", f"of{number}"]
        answer = assay(*quiet(words))
        assert answer.code == 0, f"{recipe}\n{answer.err}"


STEP = re.compile(r"`(\{ (?:annotate|filter|score|group|edit|where) = [^`]*\})`")


@pytest.mark.parametrize("page", ["docs/clean.md"])
def test_every_step_in_the_text_runs(folder: Path, page: str):
    steps = list(dict.fromkeys(STEP.findall(PAGES[page])))
    assert len(steps) >= 6
    packed(folder / "all.toml", "steps = [\n{}\n]".format(",\n".join(steps)).encode())
    answer = assay(*quiet(["clean", "crawl/0.jsonl", "--recipe", "all.toml", "--out", "all"]))
    assert answer.code == 0, answer.err
