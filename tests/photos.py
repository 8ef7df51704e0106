"""Small pictures made in memory, and pools of them as folders, archives and arrays: tools that tests share."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (30, 60, 200), "red": (200, 60, 30), "green": (40, 190, 60)}


def pixels(label: str, number: int, side: int = 8) -> np.ndarray:
    """A noisy field of the label's colour, (side, side, 3) uint8."""
    noise = np.random.default_rng([number, len(label)]).integers(-25, 26, (side, side, 3))
    return np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8)


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


def photos(count: int = 10, labels: tuple[str, ...] = ("blue", "red"), side: int = 8) -> dict[str, bytes]:
    """`count` PNGs of each label by path, `blue/0.png` and so on."""
    return {f"{label}/{k}.png": encoded(pixels(label, k, side)) for label in labels for k in range(count)}


def folder(place: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def archive(place: Path, files: Mapping[str, bytes], packed: int = zipfile.ZIP_STORED) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(place, "w", packed) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return place


def unzipped(place: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(place) as found:
        return {name: found.read(name) for name in found.namelist()}
