"""ZIP-FIT: a document is like the target if the target's texts compress better behind it.

    NCD(x, y) = (C(x y) - min(C(x), C(y))) / max(C(x), C(y))         C: bytes after compression
    s(x)      = mean over target texts y of 1 - NCD(x, y)

The document comes first, the target text behind it, and lengths are bytes. The compressor must compress: the released
package defaults to lz4 at level 0, and level 0 of its gzip example means "stored", under which code, noise and a string of
three letters get the same score. So level 0 is refused here. A document pairs with every target text, so the cost is
their number times the pool: `targets` of them are used, those with the smallest content hashes, each cut to `cut` bytes,
as is the document (zlib sees no further back than 32 KB).

Guarantee: a score depends on the row and the sampled target alone. Short documents are favoured over others that are as
unlike the target: compare lengths within a pool, or cut the pool into like lengths.
Source: Obbad et al., ZIP-FIT: Embedding-Free Data Selection via Compression-Based Alignment, 2024,
https://arxiv.org/abs/2410.18194; NCD: Cilibrasi and Vitányi, 2005, https://doi.org/10.1109/TIT.2005.844059.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.contracts import Rows, Scorer
from assay.errors import InputError, RecipeError
from assay.io.compressors import LEVELS, sizer
from assay.types import Batch, Fitted, Texts


@final
@dataclass(frozen=True)
class ZipFit(Scorer):
    """Mean similarity by compression to texts of the target.

    `compressor` is zlib or zstd, `level` its level (zlib 1 to 9, zstd 1 to 22), `targets` how many target texts a document
    is compared with, and `cut` how many bytes of each text are looked at.

    >>> ZipFit().level
    6
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2410.18194"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("repeated strings",)

    compressor: str = "zlib"
    level: int = 6
    targets: int = 64
    cut: int = 16_384

    def __post_init__(self) -> None:
        if self.compressor not in LEVELS:
            raise RecipeError(f"zip_fit: compressor must be zlib or zstd; got {self.compressor!r}")
        most = LEVELS[self.compressor]
        if not 1 <= self.level <= most:
            why = "; level 0 only stores, and all texts would score alike" if self.level == 0 else ""
            raise RecipeError(f"zip_fit: level of {self.compressor} must be from 1 to {most}; got {self.level}{why}")
        for name in ("targets", "cut"):
            if getattr(self, name) < 1:
                raise RecipeError(f"zip_fit: {name} must be at least 1; got {getattr(self, name)}")

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """The sampled target texts, cut: `data (m,)` and `offsets (t + 1,)`, and `sizes (t,)`, each compressed alone."""
        if target is None:
            raise InputError("zip_fit needs a target, some documents like those that you want; name it with --target")
        texts = target.sample(self.targets).text
        cut = [text[: self.cut] for text in _bytes(texts) if text]
        if not cut:
            raise InputError("zip_fit needs a target with text; got none in its text field")
        kept, size = Texts.of_bytes(cut), sizer(self.compressor, self.level)
        sizes = np.array([size(text) for text in cut], np.int64)
        return Fitted({"data": kept.data, "offsets": kept.offsets, "sizes": sizes}, {"targets": len(cut)})

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """s of every row; NaN for one without text."""
        size = sizer(self.compressor, self.level)
        others = _bytes(Texts(fitted.arrays["data"], fitted.arrays["offsets"]))
        alone = np.asarray(fitted.arrays["sizes"])
        found = np.full(len(batch), np.nan)
        for row, text in enumerate(_bytes(batch.text)):
            if text:
                text = text[: self.cut]
                joined = np.array([size(text + other) for other in others], np.int64)
                found[row] = _similarity(size(text), alone, joined)
        return found


def _similarity(own: int, others: Int64[np.ndarray, "t"], joined: Int64[np.ndarray, "t"]) -> float:
    """Mean of 1 - NCD."""
    return float(np.mean(1 - (joined - np.minimum(own, others)) / np.maximum(own, others)))


def _bytes(texts: Texts) -> list[bytes]:
    data = texts.data.tobytes()
    return [data[start:stop] for start, stop in zip(texts.offsets[:-1].tolist(), texts.offsets[1:].tolist(), strict=True)]
