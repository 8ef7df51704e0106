"""The table of docs/clean.md that lists every rule: from the filters themselves, and from what `prove_rules.py` counted.

    python bench/rules_table.py      writes the table of bench/results/rules.json again, after a rule's words have changed

"Agreement" counts documents by the first rule that they break: of those that either drops for a rule, those that both drop
for it.
"""

from __future__ import annotations

import json

import harness

from assay import catalog
from assay.types import Rule

COLUMNS = ["set", "rule", "what must hold", "source", "agreement with datatrove"]
SOURCES = {
    "https://arxiv.org/abs/2112.11446": "[Gopher](https://arxiv.org/abs/2112.11446)",
    "https://arxiv.org/abs/1910.10683": "[C4](https://arxiv.org/abs/1910.10683)",
    "https://arxiv.org/abs/2406.17557": "[FineWeb](https://arxiv.org/abs/2406.17557)",
}
# datatrove's reasons where they are not called as the rule; duplicate n-grams follow a pattern of their own.
THEIRS = {
    "min_doc_words": "gopher_short_doc",
    "max_doc_words": "gopher_long_doc",
    "min_avg_word_length": "gopher_below_avg_threshold",
    "max_avg_word_length": "gopher_above_avg_threshold",
    "max_hash_word_ratio": "gopher_too_many_hashes",
    "max_ellipsis_word_ratio": "gopher_too_many_ellipsis",
    "max_bullet_lines_ratio": "gopher_too_many_bullets",
    "max_ellipsis_lines_ratio": "gopher_too_many_end_ellipsis",
    "max_non_alpha_words_ratio": "gopher_below_alpha_threshold",
    "min_stop_words": "gopher_enough_stop_words",
    "min_num_sentences": "too_few_sentences",
    "not_empty": "empty",
    **{f"dup_{n}_gram": f"duplicated_{n}_n_grams" for n in range(5, 11)},
}


def agreement(rule: Rule, reasons: list[list]) -> str:
    """Documents that both drop for a rule, of those that either does; `reasons` are (ours, datatrove's, documents)."""
    theirs = THEIRS.get(rule.name, rule.name)
    either = sum(count for mine, other, count in reasons if mine == rule.name or other == theirs)
    both = sum(count for mine, other, count in reasons if mine == rule.name and other == theirs)
    return f"{both:,} of {either:,}" if either else "no document breaks it first"


def table(sets: dict[str, dict]) -> dict:
    """Columns and rows, rule by rule in the order in which they are looked at."""
    rows = [
        [name, rule.name, str(rule).replace(" must be ", ": "), SOURCES[rule.paper], agreement(rule, facts["reasons"])]
        for name, facts in sets.items()
        for rule in catalog.build("filter", name, {}).rules
    ]
    return {"columns": COLUMNS, "rows": rows}


def main() -> None:
    """Write the table again; everything else in the JSON stays."""
    path = harness.RESULTS / "rules.json"
    facts = json.loads(path.read_text("utf-8"))
    facts["table"] = table(facts["sets"])
    path.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"   {path.relative_to(harness.ROOT)}: {len(facts['table']['rows'])} rules")


if __name__ == "__main__":
    main()
