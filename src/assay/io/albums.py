"""Which files hold pictures, and which file beside them holds their labels: by name alone.

    photos/cat/1.png    a picture; its label is the folder that it lies in
    photos.zip          an archive of pictures, with class folders in it or photos_labels.jsonl (also .gz, .zst) beside it
    digits.npz, .npy    an array of pictures; labels in the same .npz, or in digits_labels.npy, digits-labels.npz of digits-imgs.npz

What lies in them is read in `io/pictures.py` and `io/arrays.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

PICTURES = (".png", ".jpg", ".jpeg")
ARRAYS = (".npz", ".npy")
_LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_IMAGES = re.compile(r"(images?|imgs?)(?!.*(images?|imgs?))", re.IGNORECASE)


def is_picture(path: str) -> bool:
    """Whether a file's name says that it is one picture.

    >>> is_picture("cat/1.PNG"), is_picture("notes.md")
    (True, False)
    """
    return path.lower().endswith(PICTURES)


def is_array(path: str) -> bool:
    """Whether a file's name says that it holds arrays."""
    return path.lower().endswith(ARRAYS)


def is_album(path: str) -> bool:
    """Whether a file's name says that it may hold many pictures."""
    return is_array(path) or path.lower().endswith(".zip")


def labels_of(path: str) -> str | None:
    """The file with the labels of an archive or array that lies beside it, or None."""
    folder, name = os.path.split(path)
    found = (os.path.join(folder, one) for one in _named_for(name) if one != name)
    return next(filter(os.path.isfile, found), None)


def _named_for(name: str) -> Iterator[str]:
    """Names that a file with its labels may have, the likeliest first.

    >>> next(_named_for("train-images.npz")), next(_named_for("train.zip"))
    ('train-labels.npz', 'train_labels.jsonl')
    """
    stem, suffix = os.path.splitext(name)
    if not is_array(name):
        yield from (f"{stem}{between}labels{ending}" for between in "_-." for ending in _LINES)
        return
    if _IMAGES.search(stem):
        yield from (_IMAGES.sub("labels", stem) + ending for ending in (suffix, *ARRAYS))
    yield from (f"{stem}{between}labels{ending}" for between in "_-" for ending in (suffix, *ARRAYS))
