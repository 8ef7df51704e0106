"""Reading: byte ranges, damaged compression, long lines, and the formats other than JSON lines."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pools import bad_of, rows_of, texts_of

from assay.errors import InputError
from assay.io.blocks import Bad
from assay.io.fields import Fields, detect
from assay.io.lines import digest
from assay.io.reader import read
from assay.io.sources import Piece, find

ROWS = [{"id": k, "text": f'text é {k} "quoted"\n' * (k % 7 + 1)} for k in range(300)]
TEXTS = [row["text"] for row in ROWS]
LINES = b"".join(json.dumps(row, ensure_ascii=row["id"] % 2 == 0).encode() + b"\n" for row in ROWS)


def made(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def frames(content: bytes, size: int) -> bytes:
    return b"".join(zstandard.compress(content[at : at + size]) for at in range(0, len(content), size))


def test_byte_ranges_at_every_offset_give_the_same_rows(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"text":"a"}\n\n{"text":"bb"}\r\nbroken\n \n{"text":"c\xc3\xa9"}\n{"text":"last"}'
    path = made(tmp_path / "a.jsonl", content)
    (shard,) = find([path])
    fields = Fields(text="text")

    def rows(start: int, stop: int) -> list[tuple[str, int]]:
        blocks = list(read(Piece(shard, 0, start, stop), fields, ()))
        good = [(text, 0) for block in blocks for text in block.batch.text]
        bad = [(item.reason, item.offset) for block in blocks for item in block.bad]
        return good + bad + [("lines", sum(block.lines for block in blocks))]

    whole = rows(0, len(content))
    assert [text for text, _ in whole] == ["a", "bb", "cé", "last", "the line is not valid JSON", "lines"]
    for cut in range(1, len(content)):
        first, second = rows(0, cut), rows(cut, len(content))
        assert sorted(first[:-1] + second[:-1]) == sorted(whole[:-1])
        assert first[-1][1] + second[-1][1] == whole[-1][1]


def test_pieces_of_any_size_give_the_same_rows(tmp_path: Path) -> None:
    path = made(tmp_path / "a.jsonl", LINES)
    for size in (50, 333, 5_000, 1 << 20):
        assert texts_of(path, piece_bytes=size) == TEXTS


def test_compressed_files_with_several_frames(tmp_path: Path) -> None:
    assert texts_of(made(tmp_path / "a.jsonl.gz", gzip.compress(LINES[:5000]) + gzip.compress(LINES[5000:]))) == TEXTS
    assert texts_of(made(tmp_path / "b.jsonl.zst", frames(LINES, 1000))) == TEXTS
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    assert texts_of(made(tmp_path / "c.jsonl.zst", skippable + frames(LINES, 9000) + skippable)) == TEXTS
    padded = gzip.compress(LINES) + bytes(1000)
    assert texts_of(made(tmp_path / "d.jsonl.gz", padded)) == TEXTS


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_truncated_file_keeps_all_rows_before_the_cut(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(1)
    rows = [json.dumps({"text": noise.randbytes(60).hex()}).encode() + b"\n" for _ in range(3000)]
    content = b"".join(rows)
    packed = gzip.compress(content) if suffix == "gz" else frames(content, 20_000)
    texts = [json.loads(row)["text"] for row in rows]
    for cut in sorted(noise.sample(range(1, len(packed)), 25)):
        found = rows_of(made(tmp_path / f"a.jsonl.{suffix}", packed[:cut]), Fields(text="text")) if cut > 400 else None
        if found is None:
            continue
        good = [row for row in found if not isinstance(row, Bad)]
        bads = [row for row in found if isinstance(row, Bad)]
        assert good == texts[: len(good)] and len(good) > 3000 * (cut - 60_000) / len(packed)
        assert len(bads) <= 1 and (not bads or (found[-1] is bads[0] and "ends early" in bads[0].reason))
        assert len(bads) == 1 or suffix == "zst"  # a cut between frames leaves a whole file


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_flipped_byte_costs_the_tail_alone(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(2)
    rows = [json.dumps({"text": noise.randbytes(60).hex()}).encode() + b"\n" for _ in range(3000)]
    content = b"".join(rows)
    packed = (
        gzip.compress(content)
        if suffix == "gz"
        else b"".join(
            zstandard.ZstdCompressor(write_checksum=True).compress(content[at : at + 20_000])
            for at in range(0, len(content), 20_000)
        )
    )
    for at in sorted(noise.sample(range(len(packed) // 4, len(packed)), 12)):
        broken = packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :]
        found = rows_of(made(tmp_path / f"a.jsonl.{suffix}", broken), Fields(text="text"))
        tail = [
            row for row in found if isinstance(row, Bad) and ("damaged" in row.reason or "ends early" in row.reason)
        ]
        assert len(tail) == 1 and found[-1] is tail[0]
        assert len(found) > 3000 * (at - 60_000) / len(packed)


def test_a_line_above_the_limit_is_quarantined_alike_in_any_place(tmp_path: Path) -> None:
    long = b'{"text": "' + b"x" * 9_000_000 + b'"}'
    content = b'{"text": "a"}\n' + long + b'\n{"text": "b"}\n'
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content, 1))
    for path in (made(tmp_path / "a.jsonl", content), str(tmp_path / "b.jsonl.gz")):
        for limit in (100, 5_000_000, 8_000_000):
            rows = rows_of(path, Fields(text="text", max_line=limit), piece_bytes=1 << 30)
            assert [rows[0], rows[2]] == ["a", "b"]
            bad = rows[1]
            assert (bad.line, bad.offset, bad.length, bad.hash) == (2, 14, len(long), digest(long))
            assert bad.raw == long[:65536] and str(limit) in bad.reason
    assert len(texts_of(str(tmp_path / "a.jsonl"), Fields(text="text", max_line=9_100_000))[1]) == 9_000_000
    rows = rows_of(str(tmp_path / "a.jsonl"), Fields(text="text", max_line=1000), piece_bytes=1_000_000)
    assert len(rows) == 3 and rows[1].length == len(long)


def test_a_long_line_at_the_end_without_line_feed(tmp_path: Path) -> None:
    content = b'{"text": "a"}\n' + b"x" * 6_000_000
    rows = rows_of(made(tmp_path / "a.jsonl", content), Fields(text="text", max_line=1000))
    assert rows[0] == "a" and rows[1].length == 6_000_000 and len(rows) == 2


def test_json_array_and_json_lines_under_one_suffix(tmp_path: Path) -> None:
    assert texts_of(made(tmp_path / "a.json", json.dumps(ROWS, indent=2).encode())) == TEXTS
    assert texts_of(made(tmp_path / "b.json", LINES)) == TEXTS
    assert texts_of(made(tmp_path / "c.json", b"\xef\xbb\xbf \n[" + LINES.strip().replace(b"\n", b",") + b"]")) == TEXTS
    rows = rows_of(made(tmp_path / "d.json", b'[{"text": "a"}, 5, {"text": "b\n"}, {"text": "c"}'))
    assert rows[0] == "a" and [bad.reason[:16] for bad in rows[1:3]] == ["the line is not "] * 2
    assert "does not end" in rows[-1].reason


def test_csv_with_quoted_line_breaks_and_bad_records(tmp_path: Path) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["id", "text", "n"])
    writer.writerows([k, text, k / 2] for k, text in enumerate(TEXTS))
    assert texts_of(made(tmp_path / "a.csv", out.getvalue().encode())) == TEXTS
    assert texts_of(made(tmp_path / "b.csv.gz", gzip.compress(out.getvalue().encode()))) == TEXTS
    rows = rows_of(made(tmp_path / "c.csv", b'id,text\n1,"a\nb"\n2\n3,\xff\n\n4,\n5,"open'))
    assert rows[0] == "a\nb"
    assert [bad.reason for bad in rows[1:]] == [
        "the record has 1 fields where the header has 2", "the record is not valid UTF-8", "the text is empty",
        "the record is not valid CSV"
    ]  # fmt: skip
    assert [bad.line for bad in rows[1:]] == [4, 5, 7, 8]
    (shard,) = find([str(tmp_path / "a.csv")])
    (block,) = read(Piece(shard, 0, 0, shard.size), Fields(text="text", id="id", extra=("n",)), ("id", "n"))
    assert block.batch.columns["n"].tolist()[:3] == [0, 0.5, 1] and list(block.batch.columns["id"])[:2] == ["0", "1"]


def test_parquet_with_nulls_and_nested_columns(tmp_path: Path) -> None:
    table = pa.table({
        "text": pa.array(["a", None, "", "dé"]),
        "id": pa.array([5, 6, 7, None]),
        "meta": pa.array([{"source": "web", "score": 1.5}, None, None, {"source": None, "score": 2.0}]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    rows = rows_of(str(tmp_path / "a.parquet"), piece_bytes=1)
    assert (
        rows[0] == "a"
        and rows[3] == "dé"
        and [bad.reason for bad in rows[1:3]] == ["the field 'text' is null", "the text is empty"]
    )
    (shard,) = find([str(tmp_path / "a.parquet")])
    (block,) = read(
        Piece(shard, 0, 0, 2), Fields(text="text", id="id", source="meta.source"), ("id", "source", "meta.score")
    )
    columns = block.batch.columns
    assert (
        list(columns["id"]) == ["5", ""]
        and list(columns["source"]) == ["web", ""]
        and columns["meta.score"].tolist() == [1.5, 2.0]
    )


def test_parquet_chats_templates_and_wrong_columns(tmp_path: Path) -> None:
    chats = [[{"role": "user", "content": "hi"}], []]
    pq.write_table(pa.table({"messages": chats, "n": [1, 2]}), tmp_path / "a.parquet")
    rows = rows_of(str(tmp_path / "a.parquet"))
    assert rows[0] == "user: hi" and isinstance(rows[1], Bad)
    pq.write_table(pa.table({"question": ["q", None], "answer": ["a", None]}), tmp_path / "b.parquet")
    rows = rows_of(str(tmp_path / "b.parquet"))
    assert rows[0] == "q\na" and rows[1].reason == "the text is empty"
    with pytest.raises(InputError, match="no field 'textt'"):
        texts_of(str(tmp_path / "b.parquet"), Fields(text="textt"))
    with pytest.raises(InputError, match="must hold strings"):
        texts_of(str(tmp_path / "a.parquet"), Fields(text="n"))


def test_damaged_parquet_pages_lose_no_row(tmp_path: Path) -> None:
    words = [f"{k} {random.Random(k).randbytes(30).hex()}" for k in range(9000)]
    pq.write_table(
        pa.table({"text": words}),
        tmp_path / "a.parquet",
        row_group_size=3000,
        compression="zstd",
        use_dictionary=False,
        write_page_checksum=True,
    )
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    rows = rows_of(made(tmp_path / "b.parquet", bytes(content)), piece_bytes=1)
    assert len(rows) == 9000 and 3000 <= sum(isinstance(row, Bad) and "damaged" in row.reason for row in rows) < 9000
    with pytest.raises(InputError, match="must be a Parquet file"):
        texts_of(made(tmp_path / "c.parquet", b"no parquet at all"))


def test_saved_datasets_and_their_splits(tmp_path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "one"), num_shards=2)
    assert texts_of(str(tmp_path / "one")) == TEXTS
    both = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS[:200]), "test": datasets.Dataset.from_list(ROWS[200:])}
    )
    both.save_to_disk(str(tmp_path / "both"))
    assert sorted(texts_of(str(tmp_path / "both"))) == sorted(TEXTS)


def test_a_folder_of_plain_text_is_a_pool_of_files(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    made(tmp_path / "pkg" / "b10.py", b"ten")
    made(tmp_path / "pkg" / "b2.py", "zwei é".encode())
    made(tmp_path / "README", b"no suffix")
    made(tmp_path / "copyright.gz", gzip.compress(b"packed"))
    made(tmp_path / "cut.gz", gzip.compress(b"packed" * 1000)[:20])
    made(tmp_path / "x.weird", b"\x00\x01")
    made(tmp_path / "y.pyc", b"skipped")
    made(tmp_path / "z.txt", b"\xff\xfe")
    made(tmp_path / "empty.txt", b"")
    rows = rows_of(str(tmp_path))
    assert [row for row in rows if not isinstance(row, Bad)] == ["no suffix", "packed", "zwei é", "ten"]
    reasons = [row.reason for row in rows if isinstance(row, Bad)]
    assert [reason.split(":")[0] for reason in reasons] == [
        "the gzip data ends early", "the text is empty", "the file is binary", "the file is not valid UTF-8"
    ]  # fmt: skip
    (shard,) = find([str(tmp_path)])
    blocks = [block for block in read(Piece(shard, 0, 0, len(shard.files)), Fields(text="text"), ("id", "source"))]
    assert list(blocks[0].batch.columns["id"])[-2:] == ["pkg/b2.py", "pkg/b10.py"]
    assert list(blocks[0].batch.columns["source"])[-1] == "pkg"
    assert texts_of([str(tmp_path / "pkg" / "b10.py"), str(tmp_path / "pkg" / "b2.py")]) == ["zwei é", "ten"]


def test_hashes_depend_on_the_text_alone(tmp_path: Path) -> None:
    made(tmp_path / "a.jsonl", b'{"text": "caf\\u00e9"}\n{"id": 7, "text": "caf\xc3\xa9"}\n')
    (shard,) = find([str(tmp_path / "a.jsonl")])
    (block,) = read(Piece(shard, 0, 0, shard.size), detect([shard], Fields()), ("id",))
    assert block.batch.hashes[0] == block.batch.hashes[1] and np.uint64 == block.batch.hashes.dtype


def test_bad_rows_are_found_by_offset(tmp_path: Path) -> None:
    (bad,) = bad_of(made(tmp_path / "a.jsonl", b'{"text": "a"}\n{"text": 5}\n'), Fields(text="text"))
    assert (bad.row, bad.line, bad.offset, bad.length, bad.raw) == (1, 2, 14, 11, b'{"text": 5}')
    assert bad.reason == "the field 'text' must be a string, but is a number" and bad.hash == digest(bad.raw)
