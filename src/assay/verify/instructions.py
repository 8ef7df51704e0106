"""Held-out instructions: the bits of every response after everything before it, and one number for each row.

The turns of one dialogue are no independent witnesses, so a row with several responses counts as one document: its bits and
its bytes are those of its responses together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Int64

from assay.errors import InputError
from assay.kernels.hashing import hash_rows
from assay.models import dialogue
from assay.types import Texts
from assay.verify.intervals import LEAST_DOCUMENTS, metric
from assay.verify.judge import Bits, EvalSet, Probe, Reading


@final
@dataclass(frozen=True)
class Instructions(EvalSet):
    """Responses with their contexts, the row that each is from, and the rows' whole text, which must not be in the pool."""

    path: str
    documents: Texts
    contexts: Texts
    responses: Texts
    rows: Int64[np.ndarray, "d"]
    fingerprint: str

    @classmethod
    def of(cls, path: str, documents: Texts, marked: Texts) -> Instructions:
        """Of rows as text and as marked turns; rows without a prompt or without a response are left out. Raises InputError where
        too few are left to know how they vary.

        >>> marked = Texts.of([f"\\x01user\\x02{at}?\\x03\\x01assistant\\x02So {at}.\\x03" for at in (1, 2)])
        >>> list(Instructions.of("eval.jsonl", Texts.of(["1? So 1.", "2? So 2."]), marked).responses)
        ['So 1.', 'So 2.']
        """
        contexts, responses, owners = dialogue.held(marked)
        kept, rows = np.unique(owners, return_inverse=True)
        if len(kept) < LEAST_DOCUMENTS:
            raise InputError(
                f"the eval set {path} must hold at least {LEAST_DOCUMENTS} rows with a prompt and a response; got {len(kept)} "
                f"of {len(marked)}: give rows with fields such as instruction and output, or messages, or leave out "
                "--instructions"
            )
        return cls(path, documents.take(kept), contexts, responses, rows, _fingerprint(contexts, responses))

    @property
    def probe(self) -> Probe:
        """Every response after its context, its end included."""
        return Probe(self.responses, self.contexts, True, "turns")

    def reads(self, bits: Bits) -> dict[str, Reading]:
        """Bits per byte of responses, row by row."""
        sizes = np.bincount(self.rows, self.responses.sizes).astype(np.int64)
        return {"bits_per_byte": (np.bincount(self.rows, bits), sizes)}

    def measures(self, bits: Bits) -> dict[str, float]:
        """Bits per byte of responses, and nothing else."""
        return {"bits_per_byte": float(metric(bits, self.responses.sizes))}

    def described(self) -> dict[str, Any]:
        """Path, size and fingerprint, for the verdict."""
        return {
            "path": self.path,
            "documents": len(self.documents),
            "responses": len(self.responses),
            "bytes": int(self.responses.sizes.sum()),
            "fingerprint": self.fingerprint,
        }


def _fingerprint(contexts: Texts, responses: Texts) -> str:
    hashes = np.concatenate([hash_rows(contexts.data, contexts.offsets), hash_rows(responses.data, responses.offsets)])
    whole = hash_rows(hashes.view(np.uint8), np.array([0, hashes.nbytes], np.int64))
    return f"{int(whole[0]):016x}"
