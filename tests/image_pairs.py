"""Image-text pairs for tests: archives made member by member, 60 real pictures with names, and a CLIP of a few thousand weights."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "goldens" / "fxemoji" / "pairs.tar.gz"
Members = Mapping[str, bytes]


def tarred(path: Path, members: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> Path:
    """Write members to an archive, in order, packed as the suffix says; names of a folder end in a slash."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=form) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(entry, io.BytesIO(content))
    raw = held.getvalue()
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)
    return path


def members(path: Path) -> list[tuple[str, bytes]]:
    """Names and contents of an archive's files, as Python's own library reads them."""
    with tarfile.open(path) as archive:
        return [(one.name, archive.extractfile(one).read()) for one in archive if one.isfile()]  # type: ignore[union-attr]


@cache
def pairs() -> tuple[tuple[bytes, str], ...]:
    """60 pictures of 64 by 64 pixels with their Unicode names."""
    found = dict(members(GOLDEN))
    keys = sorted({name.partition(".")[0] for name in found})
    return tuple((found[f"{key}.png"], found[f"{key}.txt"].decode()) for key in keys)


def sample(key: str, image: bytes, caption: str, **told: object) -> list[tuple[str, bytes]]:
    """The members of one sample."""
    beside = [(f"{key}.json", json.dumps(told).encode())] if told else []
    return [(f"{key}.png", image), (f"{key}.txt", caption.encode()), *beside]


def archive(path: Path, rows: Sequence[tuple[bytes, str]], first: int = 0) -> Path:
    """An archive of pairs, numbered."""
    return tarred(path, [one for k, (image, text) in enumerate(rows, first) for one in sample(f"{k:04}", image, text)])


def png(seed: int, size: tuple[int, int] = (24, 24)) -> bytes:
    """A picture of noise."""
    from PIL import Image

    held = io.BytesIO()
    shape = (size[1], size[0], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(held, "PNG")
    return held.getvalue()


def tiny_clip(folder: Path, seed: int = 0, trained: bool = True) -> Path:
    """A CLIP of the transformers library with 16-pixel images and a vocabulary of words, in a folder."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tower = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 8,
    }
    words = sorted({word for _, text in pairs() for word in text.split()})
    known = dict.fromkeys(["<s>", "[UNK]", "</s>pad", *words, "a", "photo", "depicts", "</s>"])
    vocabulary = {word: place for place, word in enumerate(known)}
    end = vocabulary["</s>"]
    text = {
        "vocab_size": len(vocabulary),
        "max_position_embeddings": 12,
        "bos_token_id": 0,
        "eos_token_id": end,
        "pad_token_id": 2,
    }
    config = transformers.CLIPConfig(
        text_config={**tower, **text}, vision_config={**tower, "image_size": 16, "patch_size": 8}, projection_dim=8
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.CLIPModel(config)
        for one in model.parameters():  # far from the tiny initial weights, under which all vectors are alike
            one.data += 0.3 * torch.randn_like(one)
        model.logit_scale.data.fill_(1.0)
    (model if trained else config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>pad", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", end)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>pad", unk_token="[UNK]"
    ).save_pretrained(folder)
    told = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.4, 0.3],
            "image_std": [0.2, 0.25, 0.3], "resample": 3, "image_processor_type": "CLIPImageProcessor"}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder
