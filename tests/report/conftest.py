"""Facts and a verdict as a run of a mixed pool writes them, with text that tries to break the page."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

HOSTILE = (
    "<script>document.title = 'owned'</script> <img src=x "
    "onerror=\"fetch('http://127.0.0.1:9/leak')\"> &amp; </style></template> "
    "{{ 7 * 7 }} {% raw %} \x00\x1b[31mred\u202eright to left\u202c \ud83d half a pair "
    "\U0001f9ea עברית العربية ไทย 漢字 "
    "http://127.0.0.1:9/never  [bold]not markup[/bold]"
)
INSIDE = (
    "What are the treatments for glaucoma? Early treatment for open-angle glaucoma "
    "usually begins with medicines in the form of "
    "pills, ointments or eye drops that help the eye either drain fluid better or produce less of it.",
    "Who is at risk for gallstones? Women are twice as likely as men to develop them, "
    "because excess oestrogen raises the amount "
    "of cholesterol in bile and slows the movement of the gallbladder.",
    "The patients were followed for a median of 41 months; recurrence was seen in nine "
    "of those who had stopped the medicine early.",
    "How is iron deficiency found? A complete blood count shows small, pale red cells; "
    "ferritin below 30 micrograms a litre settles it.",
)
OUTSIDE = (
    "The new clinic opens on Monday, and the mayor, who had promised it for six years, cut the ribbon in the rain.",
    "Ask your doctor? He asked his barber, who said that a cold lasts a week with medicine and seven days without.",
    "WHEREAS the Supplier shall deliver the Devices to the Hospital within thirty (30) days of the Effective Date, and",
    "a slow , earnest film about a country doctor , saved by its leading actress and by the weather .",
)
SOURCES = (
    ("web", 9_800, 2_610_000, 240, 61_000),
    ("news", 7_600, 1_310_000, 310, 58_000),
    ("medicine", 2_100, 980_000, 1_742, 604_000),
    ("contracts", 510, 910_000, 3, 4_100),
    ("abstracts", 1_900, 802_000, 402, 141_000),
    ("reviews", 640, 590_000, 2, 2_300),
    ("dialogues", 2_400, 402_000, 61, 9_000),
    ("encyclopaedia", 122, 290_000, 9, 21_000),
    ("tweets", 5_989, 116_000, 0, 0),
)


def build_facts() -> dict[str, Any]:
    """Facts of a `dsir` selection of 10 % of 31,110 rows."""
    rng = np.random.default_rng(7)
    scores = np.concatenate([rng.normal(-1.1, 0.42, 28_000), rng.normal(0.35, 0.36, 3_061)])
    lengths = np.exp(np.concatenate([rng.normal(5.1, 0.9, 28_000), rng.normal(6.0, 0.7, 3_061)]))
    cut = float(np.sort(scores)[-2_769])
    chosen = scores >= cut
    edges = np.linspace(scores.min(), scores.max(), 61)
    sizes = np.geomspace(16, 16_384, 41)
    return {
        "title": "dsir for medicine from mixed text",
        "created": "2026-11-20T14:03:22.113071+00:00",
        "digest": "9f4be2c07a1d55e0c3a84be1",
        "recipe": {
            "pool": ["examples/data/pool-*.jsonl.zst"],
            "target": ["examples/data/target.jsonl"],
            "steps": [
                {"score": "dsir", "n": 2, "buckets": 10_000, "lengths": "average"},
                {"select": "top_k", "budget": "10%bytes"},
            ],
            "seed": 0,
        },
        "versions": {"assay": "0.1.0", "python": "3.11.2", "numpy": "2.4.6", "polars": "2.1.0"},
        "counts": {
            "input": 31_110,
            "blank": 12,
            "quarantined": 49,
            "filtered": 612,
            "not_chosen": 28_292,
            "chosen": 2_769,
        },
        "bytes": {"input": 8_010_000, "chosen": 800_400},
        "tokens": {"input": 1_987_112, "chosen": 190_480},
        "budget": {"asked": "10%bytes", "unit": "bytes", "limit": 801_000, "spent": 800_400},
        "funnel": [
            {"stage": "input", "rows": 31_110, "bytes": 8_020_110, "reason": ""},
            {"stage": "read", "rows": 31_061, "bytes": 8_010_000, "reason": "could not be read"},
            {"stage": "filter: bytes >= 20", "rows": 30_449, "bytes": 8_001_200, "reason": "shorter than 20 bytes"},
            {"stage": "select: top_k", "rows": 2_769, "bytes": 800_400, "reason": "beyond the budget"},
        ],
        "quarantine": [
            {
                "reason": "not JSON: unexpected end of line",
                "rows": 31,
                "example": {"file": "pool-00001.jsonl.zst", "line": 1_204, "reason": "…"},
            },
            {
                "reason": "the text is not valid UTF-8",
                "rows": 18,
                "example": {"file": "pool-00004.jsonl.zst", "line": 77, "reason": "…"},
            },
        ],
        "score": {
            "name": "dsir",
            "edges": edges.tolist(),
            "all": np.histogram(scores, edges)[0].tolist(),
            "chosen": np.histogram(scores[chosen], edges)[0].tolist(),
            "cut": cut,
        },
        "sources": [
            dict(zip(("source", "rows", "bytes", "chosen_rows", "chosen_bytes"), row, strict=True)) for row in SOURCES
        ],
        "lengths": {
            "edges": sizes.tolist(),
            "all": np.histogram(lengths, sizes)[0].tolist(),
            "chosen": np.histogram(lengths[chosen], sizes)[0].tolist(),
        },
        "features": {
            "up": _weights(
                [
                    "symptoms",
                    "treatment of",
                    "patients",
                    "disease",
                    "what are",
                    "syndrome",
                    "diagnosis",
                    "blood",
                    "mutation",
                    "is inherited",
                    "clinical",
                    "tissue",
                ],
                3.1,
            ),
            "down": _weights(
                [
                    "rt",
                    "film",
                    "the agreement",
                    "hereinafter",
                    "lol",
                    "said on",
                    "@user",
                    "reuters",
                    "movie",
                    "stocks",
                    "quarter",
                    "goal",
                ],
                -2.4,
            ),
        },
        "borderline": {"in": _border(INSIDE, cut, 0.0006, 2_768, -1), "out": _border(OUTSIDE, cut, -0.0007, 2_769, 1)},
        "stages": [
            {"stage": "count", "seconds": 0.31, "bytes": 9_100_000, "peak_mb": 210.0},
            {"stage": "fit dsir", "seconds": 0.42, "bytes": 8_010_000, "peak_mb": 310.5},
            {"stage": "score dsir", "seconds": 0.38, "bytes": 8_010_000, "peak_mb": 305.0},
            {"stage": "select", "seconds": 0.02, "bytes": 0, "peak_mb": 300.2},
            {"stage": "write", "seconds": 0.22, "bytes": 9_100_000, "peak_mb": 290.0},
        ],
        "notes": [
            "The weight of the target's own counts was set to 0.71 by held-out likelihood.",
            "Shards are read in natural order of their paths.",
        ],
    }


LEFT = (  # (reason, rows that left, bytes, rule's facts)
    ("quarantined", 49, 10_110, {}),
    (
        "rule: gopher_quality/words (words must be at least 50 and at most 100000)",
        4_000,
        400_000,
        {"said": "words must be at least 50 and at most 100000", "broken": 4_000, "step": 0},
    ),
    (
        "rule: gopher_quality/stop_words (stop_words must be at least 2)",
        812,
        90_000,
        {"said": "stop_words must be at least 2", "broken": 2_204, "step": 0},
    ),
    ("where: source <> 'ads'", 15, 3_000, {"step": 1}),
    ("contaminated: gsm8k.jsonl", 26, 9_000, {"step": 2}),
    ("duplicate: minhash", 4_900, 900_000, {"step": 3}),
)
SPAN = "Natalia sold clips to 48 of her friends in April"


def build_kept() -> dict[str, Any]:
    """Facts of a cleaned pool: everything is kept that no rule, eval item or copy drops."""
    facts, rows, sizes = build_facts(), 31_110, 8_010_000
    funnel = [{"stage": "read", "reason": "", "key": "", "rows": rows, "bytes": sizes, "out": 0, "example": None}]
    for reason, out, bytes_, told in LEFT:
        rows, sizes = rows - out, sizes - bytes_
        named = {"stage": reason.partition(":")[0], "reason": reason, "key": reason}
        if reason == "quarantined":
            named |= {"stage": "readable", "reason": "could not be read"}
        paper = {"paper": "https://arxiv.org/abs/2112.11446"} if "said" in told else {}
        example = {"row": 17, "id": f"pool-{out:05}"}
        funnel.append({**named, "rows": rows, "bytes": sizes, "out": out, "example": example, **told, **paper})
    filters = [
        {"filter": "gopher_quality", "rule": "words", "rows": 4_000, "broken": 4_000},
        {"filter": "gopher_quality", "rule": "bullet_lines", "rows": 0, "broken": 0},
    ]
    about = {"recipe": "fineweb", "about": "Rules and copies.", "sources": ["https://arxiv.org/abs/2406.17557 (2024)"]}
    gone = ("budget", "cut", "rank_by", "score", "borderline", "features")
    return {key: value for key, value in facts.items() if key not in gone} | {
        "title": f"{rows:,} of 31,110 rows kept",
        "status": "kept",
        "counts": {"input": 31_110, "blank": 0, "quarantined": 49, "not_chosen": 31_110 - 49 - rows, "kept": rows},
        "bytes": {"input": 8_010_000, "kept": sizes},
        "tokens": None,
        "estimated_tokens": {"input": 2_002_500, "kept": sizes // 4},
        "funnel": funnel,
        "filters": filters,
        "dropped": [{"reason": reason, "examples": _thrown(reason)} for reason, *_ in LEFT[1:]],
        "duplicates": [
            {
                "step": 3, "group": "minhash", "keep": "longest", "rows": 4_900, "bytes": 900_000, "groups": 1_212,
                "largest": 87, "examples": [{"row": 17, "others": [20, 33, 41, 1_502]}],
            }
        ],
        "edits": [
            {"step": 4, "edit": "c4_lines", "rows": 120, "bytes_before": 40_000, "bytes_after": 31_000, "emptied": 2}
        ],
        "fits": {"quality_classifier": {"auc": 0.9312, "rows": {"good": 1_000, "bad": 900}}},
        "lacks": ["language identification: give --model language=lid.176.bin"],
        "about": about,
    }  # fmt: skip


def _thrown(reason: str) -> list[dict[str, Any]]:
    """Two rows that a reason threw away, one of them with text that tries to break the page."""
    rows = [
        {"row": 1_204 + place, "id": f"pool-{place}", "shard": "pool", "source": "web", "bytes": 40, "text": text}
        for place, text in enumerate((f"Read more. {SPAN}, and then half as many.", HOSTILE))
    ]
    if reason.startswith("rule"):
        return [{**row, "measured": "words", "value": 12.0} for row in rows]
    if reason.startswith("contaminated"):
        spans = (SPAN, HOSTILE[:41], "")
        return [
            {**row, "quoted": SPAN.lower(), "span": span} for row, span in zip([*rows, rows[0]], spans, strict=True)
        ]
    if reason.startswith("duplicate"):
        stays = {"row": 17, "id": "pool-17", "shard": "pool", "source": "news", "text": "Read much more."}
        return [{**row, "stays": stays} for row in rows]
    return rows


def _weights(names: list[str], first: float) -> list[dict[str, Any]]:
    return [{"feature": name, "weight": first * 0.9**place} for place, name in enumerate(names)]


def _border(texts: tuple[str, ...], cut: float, step: float, rank: int, by: int) -> list[dict[str, Any]]:
    cycle = [*texts * 3][:11]
    return [
        {
            "row": 1_000 + 331 * place,
            "id": f"pool-00002:{1_000 + place}",
            "shard": "pool-00002.jsonl.zst",
            "source": ("medicine", "web", "news")[place % 3],
            "score": cut + step * (place + 1),
            "rank": rank + by * place,
            "text": text,
        }
        for place, text in enumerate([*cycle, HOSTILE])
    ]


def build_verdict() -> dict[str, Any]:
    """A `better` verdict with five random draws, a reference arm and random's curve at six budgets."""
    rng = np.random.default_rng(11)
    draws = [2.431, 2.428, 2.437, 2.426, 2.433]
    arms = [{"name": "choice", "seed": 0, "bytes": 800_400, "rows": 2_769, "metric": 2.208, "general": 2.871}]
    arms += [
        {
            "name": "random",
            "seed": seed,
            "bytes": 800_390 - seed,
            "rows": 3_090 + seed,
            "metric": metric,
            "general": 2.702 + 0.001 * seed,
        }
        for seed, metric in enumerate(draws)
    ]
    arms += [
        {"name": "reference", "seed": 0, "bytes": 800_310, "rows": 3_544, "metric": 2.301, "general": 2.902},
        {"name": "pool", "seed": 0, "bytes": 8_001_200, "rows": 30_449, "metric": 2.065, "general": 2.301},
    ]
    budgets = [200_000, 400_000, 800_000, 1_600_000, 3_200_000, 6_400_000]
    curve = [
        {
            "bytes": size,
            "seed": seed,
            "metric": float(2.431 - 0.058 * np.log2(size / 800_000) * 2 + rng.normal(0, 0.004)),
        }
        for size in budgets
        for seed in range(3)
    ]
    return {
        "answer": "better",
        "sentence": "Better than random: 2.208 against 2.431 bits per byte (95 % prediction interval of the "
        "difference 0.209 to 0.237); random needs 3.8 times the data for the same loss.",
        "p_better": 0.99998,
        "level": 0.05,
        "difference": {"estimate": 0.223, "low": 0.209, "high": 0.237},
        "multiplier": {"estimate": 3.79, "low": 3.31, "high": 4.4, "censored": False},
        "metric": "bits_per_byte",
        "budget": {"bytes": 800_400, "tokens": None},
        "arms": arms,
        "curve": curve,
        "selection_cost": {"seconds": 1.35, "bytes_read": 34_220_000},
        "judge": {"name": "ngram", "config": {"order": 6, "discount": "modified"}, "features": ["n-grams"]},
        "shares_features": True,
        "eval": {"path": "examples/data/heldout.jsonl", "documents": 412, "bytes": 192_004, "fingerprint": "77ab01"},
        "general": None,
        "overlap": {"documents": 3, "removed": True},
        "digest": "e1c3a84b77",
        "seconds": 21.4,
        "versions": {"assay": "0.1.0"},
    }


def _between(estimate: float, half: float) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half}


def build_trial() -> dict[str, Any]:
    """A verdict of two proxies, the last a language model: units are tokens; rivals, tasks, general text, a sweep, the cost."""
    seeds, tokens = range(3), 2_000_000
    levels = {"choice": (2.31, 2.97), "length": (2.44, 2.50), "random": (2.52, 2.42), "run other": (2.40, 2.61)}
    arms = [
        {
            "name": name, "seed": seed, "bytes": tokens, "unit": "tokens", "rows": 4_100 + seed,
            "metric": target + 0.004 * seed, "general": general - 0.003 * seed,
            "tasks": {"piqa": {"bits_per_byte": target, "accuracy": 0.51}},
        }
        for name, (target, general) in levels.items()
        for seed in seeds
    ]  # fmt: skip
    pool = {
        "name": "pool",
        "seed": 0,
        "bytes": 8_000_000,
        "unit": "tokens",
        "rows": 30_449,
        "metric": 2.2,
        "general": 2.2,
    }
    curve = [
        {"bytes": size, "unit": "tokens", "seed": seed, "metric": 2.52 - 0.1 * place + 0.004 * seed}
        for place, size in enumerate((1_000_000, 2_000_000, 4_000_000, 8_000_000))
        for seed in seeds
    ]
    comparisons = [
        {"against": name, "main": name == "random", "difference": _between(gap, 0.03), "p": p, "p_adjusted": min(1, 2 * p),
         "answer": answer, "answer_alone": "better"}
        for name, gap, p, answer in (
            ("random", 0.21, 0.0001, "better"), ("length", 0.13, 0.003, "better"), ("run other", 0.04, 0.2, "undecided"),
        )
    ]  # fmt: skip
    proxy = {
        "answer": "better",
        "difference": _between(0.21, 0.03),
        "multiplier": {"estimate": 3.8, "low": 3.3, "high": 4.4},
    }
    return build_verdict() | {
        "sentence": "better: the choice reaches 2.314 bits per byte against 2.524 for random at the same 2.0 M tokens. It is "
        "better than length. Scope: lm-nano (0.33 M parameters), 2.0 M tokens per arm, 3 seeds.",
        "metric": "bits_per_byte",
        "difference": _between(0.21, 0.03),
        "multiplier_power_law": {"estimate": 3.9, "low": 3.2, "high": 4.9, "censored": False, "law": None},
        "seeds": 3,
        "seeds_to_settle": 3,
        "budget": {"unit": "tokens", "units": tokens, "bytes": 7_900_000, "tokens": tokens, "epochs": 1, "steps": 244},
        "arms": [*arms, pool],
        "curve": curve,
        "comparisons": comparisons,
        "judge": {"name": "lm-nano", "config": {"parameters": 330_112}, "features": ["tokens"]},
        "shares_features": False,
        "scope": {
            "proxy": "lm-nano", "parameters": 330_112, "unit": "tokens", "units": tokens, "seeds": 3, "epochs": 1,
            "held": 412, "kind": "documents", "eval": "heldout.jsonl",
        },
        "general": {
            "path": "general.jsonl", "documents": 300, "bytes": 90_000, "difference": _between(-0.55, 0.04), "answer": "worse"
        },
        "tasks": [
            {
                "name": "piqa", "path": "piqa.jsonl.gz", "kind": "multiple choice", "items": 1838, "answers": 3676,
                "chance": 0.5, "metric": "bits_per_byte", "answer": "worse", "p_adjusted": 0.01,
                "metrics": {
                    "bits_per_byte": {"choice": 2.61, "reference": 2.52, "difference": _between(-0.09, 0.02), "answer": "worse"},
                    "error": {"choice": 0.487, "reference": 0.482, "difference": _between(0, 0.03), "answer": "undecided"},
                },
            },
            {
                "name": "lambada_openai", "path": "lambada.jsonl", "kind": "right answer", "items": 5153, "chance": None,
                "metric": "bits_per_byte", "answer": "better", "p_adjusted": 0.02,
                "metrics": {
                    "bits_per_byte": {"choice": 2.9, "reference": 3.1, "difference": _between(0.2, 0.1), "answer": "better"}
                },
            },
        ],
        "proxies": [
            {"name": "ngram", "budget": {"unit": "bytes", "units": 4_000_000}, **proxy},
            {"name": "lm-nano", "budget": {"unit": "tokens", "units": tokens}, **proxy},
        ],
        "ranking": {"stable": True, "sentence": "The ranking is stable over ngram and lm-nano (rank correlation 1.0)."},
        "time_to_quality": {
            "selecting_seconds": 2.0, "training_seconds": 80.0, "seconds": 82.0, "random_seconds": 304.0, "bound": False,
            "ratio": 3.71, "pays_from": 18_000,
        },
        "sweep": [
            {
                "share": part, "arm": f"general {100 * part:g} %", "metric": 2.31 + gain / 3, "general": 2.97 - gain,
                "gain": _between(0.21 - gain / 3, 0.03), "change": _between(-0.55 + gain, 0.03), "answer": "better",
                "general_answer": "worse",
            }
            for part, gain in ((0.0, 0.0), (0.1, 0.2), (0.2, 0.3), (0.5, 0.45))
        ],
        "sweep_sentence": "Least is lost with 50 %.",
        "notes": ["lm-nano is not above chance on piqa (accuracy 0.51, chance 0.50)"],
    }  # fmt: skip


@pytest.fixture
def trial() -> dict[str, Any]:
    return build_trial()


@pytest.fixture
def facts() -> dict[str, Any]:
    return copy.deepcopy(build_facts())


@pytest.fixture
def kept() -> dict[str, Any]:
    return copy.deepcopy(build_kept())


@pytest.fixture
def verdict() -> dict[str, Any]:
    return copy.deepcopy(build_verdict())
