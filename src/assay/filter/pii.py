"""Rows with personal details: drops what holds secrets or numbers with a checksum, and what holds many contacts.

    kept if  secrets <= 0, cards <= 0, IBANs <= 0, social security numbers <= 0,
             e-mail addresses + phone numbers + IP addresses <= 5, bytes in details / bytes <= 0.2

The first rule that a row breaks is its reason. Five contacts are Dolma's own limit: a document with more is removed, one
with fewer has them masked (here: the step `edit = "pii_mask"`). Source: Soldaini et al. 2024, section 5.3 and appendix,
https://arxiv.org/abs/2402.00159. The zeros and the share are ours: a card number or a key in a document serves no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from assay.contracts import Filter
from assay.types import Rule


@final
@dataclass(frozen=True)
class PiiRules(Filter):
    """At most so many details of each kind; a limit below zero switches its rule off.

    >>> [str(rule) for rule in PiiRules(cards=2, share=-1).rules][1:3]
    ['pii_card must be at most 2', 'pii_iban must be at most 0']
    """

    needs: ClassVar[tuple[str, ...]] = (
        "pii_secret", "pii_card", "pii_iban", "pii_ssn", "pii_email", "pii_phone", "pii_ip", "pii_contacts", "pii_share",
    )  # fmt: skip
    paper: ClassVar[str] = "https://arxiv.org/abs/2402.00159"
    prefix: ClassVar[str] = "rule"

    secrets: int = 0
    cards: int = 0
    ibans: int = 0
    ssns: int = 0
    emails: int = -1
    phones: int = -1
    ips: int = -1
    contacts: int = 5
    share: float = 0.2

    @property
    def measured(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The counts of `pii`."""
        return (("pii", {}),)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """One for each limit that is not below zero."""
        limits = {
            "secrets": ("pii_secret", self.secrets, ""),
            "cards": ("pii_card", self.cards, ""),
            "ibans": ("pii_iban", self.ibans, ""),
            "ssns": ("pii_ssn", self.ssns, ""),
            "emails": ("pii_email", self.emails, ""),
            "phones": ("pii_phone", self.phones, ""),
            "ips": ("pii_ip", self.ips, ""),
            "contacts": ("pii_contacts", self.contacts, self.paper),
            "share": ("pii_share", self.share, ""),
        }
        return tuple(
            Rule(name, column, at_most=limit, paper=paper)
            for name, (column, limit, paper) in limits.items()
            if limit >= 0
        )
