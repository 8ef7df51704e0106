"""Personal details: how many e-mail addresses, phone numbers, cards, keys and the like a row's text has.

    kinds  = email, phone, card, iban, ssn (US social security), ip (public ones), secret (keys, tokens, passwords)
    n_kind = the spans of each kind, found by form and, where there is one, by checksum:
             card  Luhn sum = 0 mod 10      IBAN  number mod 97 = 1      IP  octets 0 to 255, public ranges only
    share  = bytes in those spans / bytes of the text

The same counts whatever the batch; a span belongs to one kind only. What is not found: names, street addresses, e-mail
addresses spelled out ("at", "dot") or with letters above ASCII, phone numbers of 7 or 8 digits that no word announces.
The forms and their sources are in `kernels/pii*.py`; counts of this kind are what Dolma filters and masks by: Soldaini et
al. 2024, https://arxiv.org/abs/2402.00159.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from assay.contracts import Annotator
from assay.kernels.pii import EMAIL, IP, KINDS, PHONE, details
from assay.types import Batch, Column


@final
@dataclass(frozen=True)
class Pii(Annotator):
    """Counts personal details and secrets: columns `pii_email`, `pii_phone` and so on.

    >>> from assay.types import Texts
    >>> batch = Batch(np.arange(1), np.zeros(1, np.uint64), {"text": Texts.of(["Card 4111 1111 1111 1111"])})
    >>> columns = Pii().annotate(batch, {})
    >>> columns["pii_card"].tolist(), columns["pii_phone"].tolist()
    ([1], [0])
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2402.00159"

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """Counts `pii_KIND (b,)`; `pii_contacts (b,)`, those of e-mail, phone and IP; `pii_share (b,)` of the bytes."""
        text, size = batch.text, len(batch)
        row, start, stop, kind = details(text.data, text.offsets).T
        counts = np.zeros((len(KINDS), size), np.int64)
        np.add.at(counts, (kind, row), 1)
        covered = np.bincount(row, stop - start, size)
        columns: dict[str, Column] = {f"pii_{name}": counts[place] for place, name in enumerate(KINDS)}
        columns["pii_contacts"] = counts[[EMAIL, PHONE, IP]].sum(axis=0)
        columns["pii_share"] = covered / np.maximum(text.sizes, 1)
        return columns
