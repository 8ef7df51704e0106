"""Bytes that no text should hold, and ids that stand there twice: each row leaves as it came or is quarantined as it is."""

from __future__ import annotations

from pathlib import Path

from command import assay, chosen, done, manifest, packed, quarantined
from faults import accounted, real_lines

GOOD = [
    b'{"id": "same", "text": "one of three rows with one id"}',
    b'{"id": "same", "text": "another of them"}\r',
    b'{"id": "same", "text": "the third, with \\u0000 escaped as JSON wants it"}',
    b'{"id": "", "text": "no id"}',
    b'{"text": "a pair \\ud83d\\ude00, \xf0\x9f\x98\x80, \xef\xbb\xbf a BOM that is none, \xe2\x80\xa8 and \x7f"}',
]
BAD = {
    b'{"text": "a raw \x00 in a string"}': "not valid JSON",
    b"\x00\x00\x00\x00": "not valid JSON",
    b'{"text": "cut in \xe2\x82"}': "not valid UTF-8",
    b'{"text": "overlong \xc0\xaf"}': "not valid UTF-8",
    b'{"text": "a surrogate \xed\xa0\x80 in bytes"}': "not valid UTF-8",
    b'{"text": "half a pair \\ud83d"}': "half a surrogate pair",
    b'{"text": "\\udc00 the other half"}': "half a surrogate pair",
    b"\xff\xfe{\x00}\x00": "not valid UTF-8",
    b'{"text": 5}': "must be a string",
    b'["text"]': "not a JSON object",
    b"\r": "",
}


def test_bytes_that_no_text_should_hold(tmp_path: Path):
    lines = [*GOOD[:2], *BAD, *real_lines()[:5], *GOOD[2:]]
    for name, content in (
        ("a.jsonl", b"\xef\xbb\xbf" + b"\n".join(lines)),
        ("b.jsonl.gz", b"\r\n".join(lines) + b"\r\n"),
        ("c.jsonl.zst", b"\xef\xbb\xbf" + b"\n\n \n".join(lines) + b"\n"),
    ):
        packed(tmp_path / "pool" / name, content)
    rows = [line for line in lines if line.strip()]
    crlf = [line + b"\r" for line in rows]
    done(tmp_path / "pool", "--method", "length", "--budget", "100%", "--out", tmp_path / "run")
    accounted(tmp_path / "run", [*rows, *crlf, *rows])
    reasons = {entry["raw"].removesuffix(b"\r"): entry["reason"] for entry in quarantined(tmp_path / "run")}
    assert set(reasons) == {line for line in BAD if line.strip()}
    assert all(BAD[line] in reason for line, reason in reasons.items())
    assert len(chosen(tmp_path / "run")) == 3 * (len(GOOD) + 5)


def test_ids_that_stand_there_twice_lose_no_row(tmp_path: Path):
    lines = [*GOOD, *GOOD, *real_lines()[:9]]
    pool = packed(tmp_path / "pool.jsonl", b"\n".join(lines))
    done(pool, "--method", "random", "--budget", "60%", "--out", tmp_path / "run")
    accounted(tmp_path / "run", lines)
    named = [row for row, name in manifest(tmp_path / "run").select("row", "id").iter_rows() if name == "same"]
    assert len(named) == 6
    answers = [assay("why", tmp_path / "run", row).out for row in named]
    assert len(set(answers)) == 6 and assay("why", tmp_path / "run", "same").code == 0
    scores = packed(tmp_path / "scores.jsonl", b'{"id": "same", "mine": 1}\n{"id": "same", "mine": 2}\n')
    asked = (
        "select",
        pool,
        "--scores",
        scores,
        "--method",
        "random",
        "--budget",
        "5",
        "--out",
        tmp_path / "next",
        "-q",
    )
    assert "same" in assay(*asked, "--workers", "1").sentence  # which of the two is meant cannot be known
