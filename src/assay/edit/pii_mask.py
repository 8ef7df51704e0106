"""Masks personal details: each e-mail address, phone number, card, key and the like becomes a placeholder.

The kinds and their forms are those that the signals of `pii` count.

    tags      <EMAIL> <PHONE> <CARD> <IBAN> <SSN> <IP> <SECRET>
    fineweb   e-mail addresses become email@example.com, public IP addresses 192.0.2.1; nothing else is touched

Every byte outside the spans stays; a text without any is handed back as it was; masking a masked text changes nothing.
FineWeb anonymises these two kinds alone and draws IP addresses that did not answer a ping; ours is the one that RFC 5737
keeps for documents. Source: Penedo et al. 2024, section 3, https://arxiv.org/abs/2406.17557.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Int64

from assay.contracts import TextEditor
from assay.errors import RecipeError, suggest
from assay.kernels.pii import KINDS, details
from assay.types import Batch, Texts, join_texts

_STYLES: Mapping[str, Mapping[str, bytes]] = {
    "tags": {kind: f"<{kind.upper()}>".encode() for kind in KINDS},
    "fineweb": {"email": b"email@example.com", "ip": b"192.0.2.1"},
}


@final
@dataclass(frozen=True)
class PiiMask(TextEditor):
    """Replaces personal details by placeholders; `kinds` are some of email, phone, card, iban, ssn, ip, secret.

    >>> batch = Batch(np.arange(1), np.zeros(1, np.uint64), {"text": Texts.of(["Mail ann@mail.org, é!"])})
    >>> list(PiiMask().rewrite(batch, {})), list(PiiMask(style="fineweb").rewrite(batch, {}))
    (['Mail <EMAIL>, é!'], ['Mail email@example.com, é!'])
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2406.17557"

    style: str = "tags"
    kinds: tuple[str, ...] = KINDS

    def __post_init__(self) -> None:
        if self.style not in _STYLES:
            raise RecipeError(
                f"pii_mask: style must be tags or fineweb; got {self.style!r}; {suggest(self.style, _STYLES)}"
            )
        for kind in self.kinds:
            if kind not in KINDS:
                raise RecipeError(f"pii_mask: kinds must be a list of {', '.join(KINDS)}; got {kind!r}")

    def rewrite(self, batch: Batch, models: dict[str, Any]) -> Texts:
        """The texts (b,) with placeholders."""
        masks = {KINDS.index(kind): mask for kind, mask in _STYLES[self.style].items() if kind in self.kinds}
        texts, looked_at = batch.text, np.arange(len(batch))
        while (
            True
        ):  # what a placeholder has cut free may be a detail of its own; each round leaves fewer bytes to find one in
            part = texts if len(looked_at) == len(texts) else texts.take(looked_at)
            spans = details(part.data, part.offsets)
            spans = spans[np.isin(spans[:, 3], list(masks))]
            if not len(spans):
                return texts
            changed = np.unique(spans[:, 0])
            texts = _replaced(texts, looked_at, _masked(part, spans, masks))
            looked_at = looked_at[changed]


def _replaced(texts: Texts, rows: Int64[np.ndarray, "k"], new: Texts) -> Texts:
    """The texts with those at `rows` replaced."""
    if len(rows) == len(texts):
        return new
    places = np.arange(len(texts))
    places[rows] = np.arange(len(texts), len(texts) + len(rows))
    return join_texts([texts, new]).take(places)


def _masked(texts: Texts, spans: Int64[np.ndarray, "r 4"], masks: Mapping[int, bytes]) -> Texts:
    """The texts with each span replaced by the mask of its kind."""
    data, at = memoryview(np.ascontiguousarray(texts.data)), int(texts.offsets[0])
    pieces: list[bytes | memoryview] = []
    grown = np.zeros(len(texts), np.int64)
    for row, start, stop, kind in spans.tolist():
        pieces += [data[at:start], masks[kind]]
        grown[row] += len(masks[kind]) - (stop - start)
        at = stop
    pieces.append(data[at : int(texts.offsets[-1])])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(texts.sizes + grown)])
    return Texts(np.frombuffer(b"".join(pieces), np.uint8), offsets)
