"""What the limits on personal details drop, and why."""

from __future__ import annotations

import numpy as np

from assay import catalog
from assay.filter.pii import PiiRules
from assay.types import Batch, Texts


def broken(text: str, filter: PiiRules) -> list[str]:
    """The rules that a text breaks, by name."""
    ((name, parameters),) = filter.measured
    annotator = catalog.build("annotate", name, parameters)
    columns = annotator.annotate(Batch(np.arange(1), np.zeros(1, np.uint64), {"text": Texts.of([text])}), {})
    return [rule.name for rule in filter.rules if rule.broken(columns)[0]]


def test_either_side_of_each_default() -> None:
    words = "and then some more words, so that the share of details stays low enough for the rule on shares. " * 3
    five = " ".join(f"a{k}@b.org" for k in range(5))
    assert broken(words + five, PiiRules()) == []
    assert broken(words + five + " +44 20 7946 0018", PiiRules()) == ["contacts"]
    assert broken(words + "4111 1111 1111 1111", PiiRules()) == ["cards"]
    assert broken(words + "GB82 WEST 1234 5698 7654 32", PiiRules()) == ["ibans"]
    assert broken(words + "460-89-9847", PiiRules()) == ["ssns"]
    assert broken(words + "AKIAIOSFODNN7EXAMPLE", PiiRules()) == ["secrets"]
    assert broken("ann@mail.org" + " word" * 20, PiiRules()) == []  # 12 of 112 bytes
    assert broken("ann@mail.org" + " word" * 9, PiiRules()) == ["share"]  # 12 of 57 bytes


def test_limits_of_ones_own() -> None:
    text = "a@b.org c@d.org +44 20 7946 0018 106.31.73.20"
    assert broken(text, PiiRules(share=-1)) == []
    assert broken(text, PiiRules(share=-1, emails=1)) == ["emails"]
    assert broken(text, PiiRules(share=-1, phones=0, ips=0)) == ["phones", "ips"]
    assert broken("4111111111111111 " + "w " * 200, PiiRules(cards=-1)) == []


def test_a_rule_names_its_limit() -> None:
    (rule,) = [rule for rule in PiiRules().rules if rule.name == "contacts"]
    assert str(rule) == "pii_contacts must be at most 5" and rule.paper == PiiRules.paper
    assert {column for rule in PiiRules(emails=0, phones=0, ips=0).rules for column in rule.columns} == set(
        PiiRules.needs
    )
