"""Writing: what goes out is what came in, and always the same bytes."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pools import rows_of, texts_of

from assay.errors import InputError, RecipeError
from assay.io.blocks import Bad
from assay.io.fields import Fields
from assay.io.ledger import (
    MANIFEST,
    quarantine_entry,
    read_manifest,
    read_quarantine,
    write_manifest_part,
    write_quarantine,
)
from assay.io.sources import find, plan
from assay.io.writer import copy_rows, finish, join, output_name
from assay.types import Texts

ROWS = [
    {"id": k, "text": f'text é {k} "quoted"\n', "meta": {"tags": ["a", "b"][: k % 3], "n": k / 2}} for k in range(500)
]
LINES = [json.dumps(row, ensure_ascii=row["id"] % 2 == 0).encode() for row in ROWS]


def select(
    source: Path, out: Path, chosen: Callable[[int], bool], piece_bytes: int = 1 << 20, **form: str
) -> list[Path]:
    """Read nothing, choose rows by number, write; return the files in `out`."""
    shards = find([str(source)])
    for shard in shards:
        parts, first = [], 0
        for piece in plan([shard], piece_bytes):
            count = sum(1 for row in rows_of_piece(piece))
            part = out.parent / f"part-{shard.index}-{piece.number}"
            copy_rows(piece, np.array([chosen(first + row) for row in range(count)], bool), str(part))
            parts.append(str(part))
            first += count
        join(parts, shard, str(out / output_name(shard, **form)), **form)
    finish(shards, str(out), form.get("format"))
    return sorted(path for path in out.rglob("*") if path.is_file())


def rows_of_piece(piece) -> list:
    from assay.io.fields import detect
    from assay.io.reader import read

    return [row for block in read(piece, detect([piece.shard], Fields()), ()) for row in range(block.count)]


def even(row: int) -> bool:
    return row % 2 == 0


def test_json_lines_leave_byte_for_byte(tmp_path: Path) -> None:
    lines = [*LINES, b"broken", b'{"text": "spaces"  }\r', b'{"text": "last, without line feed"}']
    content = b"\xef\xbb\xbf" + b"\n\n".join(lines)
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(content[:9000]) + zstandard.compress(content[9000:]))
    chosen = [line for row, line in enumerate(lines) if even(row)]
    unpack = {
        "a.jsonl": lambda raw: raw,
        "b.jsonl.gz": gzip.decompress,
        "c.jsonl.zst": lambda raw: zstandard.ZstdDecompressor().decompressobj().decompress(raw),
    }
    for name, opened in unpack.items():
        (written,) = select(tmp_path / name, tmp_path / f"out-{name}", even, 3000)
        assert written.name == name and opened(written.read_bytes()).split(b"\n") == [*chosen, b""]
        again = select(tmp_path / name, tmp_path / f"again-{name}", even, 3000)[0]
        assert again.read_bytes() == written.read_bytes()
    assert (tmp_path / "out-b.jsonl.gz/b.jsonl.gz").read_bytes()[3:8] == bytes(5)  # no name, time 0


def test_nothing_chosen_leaves_a_readable_empty_file(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(LINES)))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "e.parquet")
    (tmp_path / "d.json").write_bytes(json.dumps(ROWS).encode())
    (written,) = select(tmp_path / "b.jsonl.gz", tmp_path / "out", lambda row: False)
    assert gzip.decompress(written.read_bytes()) == b""
    (table,) = select(tmp_path / "e.parquet", tmp_path / "out2", lambda row: False)
    assert pq.read_table(table).num_rows == 0 and pq.read_schema(table) == pq.read_schema(tmp_path / "e.parquet")
    (array,) = select(tmp_path / "d.json", tmp_path / "out3", lambda row: False)
    assert json.loads(array.read_bytes()) == []


def table_of_every_kind() -> pa.Table:
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC)
    count = 3000
    return pa.table(
        {
            "text": pa.array([f"text {k}" for k in range(count)], pa.large_string()),
            "nested": pa.array([{"a": [{"b": k}, {"b": None}], "c": None if k % 2 else "x"} for k in range(count)]),
            "kind": pa.array(["x", "y", None] * (count // 3)).dictionary_encode(),
            "when": pa.array([when] * count, pa.timestamp("us", "UTC")),
            "raw": pa.array([bytes([k % 256]) for k in range(count)]),
            "price": pa.array([None, 1, 2] * (count // 3), pa.decimal128(9, 2)),
            "small": pa.array(np.arange(count) % 100, pa.int8()),
            "pairs": pa.array([[("k", k)] for k in range(count)], pa.map_(pa.string(), pa.int32())),
        }
    ).replace_schema_metadata({"origin": "test"})


@pytest.mark.parametrize("piece_bytes", [1, 1 << 20])
def test_parquet_keeps_every_column_type_and_codec(tmp_path: Path, piece_bytes: int) -> None:
    table = table_of_every_kind()
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=700, compression="zstd")
    (written,) = select(tmp_path / "a.parquet", tmp_path / f"out{piece_bytes}", even, piece_bytes)
    before = pq.read_table(tmp_path / "a.parquet")
    after = pq.read_table(written)
    assert after.equals(before.filter(pa.array([even(row) for row in range(3000)])))
    assert after.schema.equals(before.schema, check_metadata=True)
    assert pq.ParquetFile(written).metadata.row_group(0).column(0).compression == "ZSTD"
    (other,) = select(tmp_path / "a.parquet", tmp_path / f"other{piece_bytes}", even, 1 << 20)
    assert other.read_bytes() == written.read_bytes()


def test_saved_datasets_open_again(tmp_path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    made = datasets.Dataset.from_list(ROWS).cast_column("id", datasets.Value("int32"))
    made.save_to_disk(str(tmp_path / "one"), num_shards=2)
    select(tmp_path / "one", tmp_path / "out", even)
    after = datasets.load_from_disk(str(tmp_path / "out" / "one"))
    assert after.features == made.features and len(after) == 500 // 2
    assert after.to_list() == [made[row] for row in range(0, 500, 2)]
    datasets.DatasetDict({"train": made, "test": made.select(range(10))}).save_to_disk(str(tmp_path / "both"))
    select(tmp_path / "both", tmp_path / "out2", even)
    both = datasets.load_from_disk(str(tmp_path / "out2" / "both"))
    assert {name: len(split) for name, split in both.items()} == {"train": 250, "test": 5}


def test_json_array_and_csv_keep_their_shape(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_bytes(json.dumps(ROWS, indent=1).encode())
    (written,) = select(tmp_path / "d.json", tmp_path / "out", even)
    assert json.loads(written.read_bytes()) == ROWS[::2]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerows([["text", "n"], *[[row["text"], row["id"]] for row in ROWS]])
    (tmp_path / "f.csv").write_bytes(out.getvalue().encode())
    (written,) = select(tmp_path / "f.csv", tmp_path / "out2", even)
    records = list(csv.reader(io.StringIO(written.read_bytes().decode(), newline="")))
    assert records == [["text", "n"], *[[row["text"], str(row["id"])] for row in ROWS[::2]]]


def test_conversions(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join(LINES)))
    (table,) = select(tmp_path / "a.jsonl.gz", tmp_path / "out", even, format="parquet")
    assert table.name == "a.parquet" and pq.read_table(table).to_pylist() == ROWS[::2]
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "e.parquet")
    (lines,) = select(tmp_path / "e.parquet", tmp_path / "out2", even, format="jsonl", compression="zstd")
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(lines.read_bytes())
    assert lines.name == "e.jsonl.zst" and [json.loads(line) for line in raw.splitlines()] == ROWS[::2]
    (plain,) = select(tmp_path / "a.jsonl.gz", tmp_path / "out3", even, compression="none")
    assert plain.name == "a.jsonl" and plain.read_bytes().splitlines() == LINES[::2]
    (csv_path := tmp_path / "f.csv").write_bytes(b'text,n\n"a\nb",1\nc,2\n')
    (lines,) = select(csv_path, tmp_path / "out4", even, format="jsonl")
    assert lines.read_bytes() == b'{"text": "a\\nb", "n": "1"}\n'
    pq.write_table(table_of_every_kind(), tmp_path / "k.parquet")
    (lines,) = select(tmp_path / "k.parquet", tmp_path / "out5", even, format="jsonl")
    assert texts_of(str(lines)) == [f"text {k}" for k in range(0, 3000, 2)]


def test_mixed_types_cannot_become_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a", "id": 1}\n{"text": "b", "id": 2}\n{"text": "c", "id": "x"}\n')
    with pytest.raises(InputError, match="write it with --format jsonl"):
        select(tmp_path / "a.jsonl", tmp_path / "out", lambda row: True, format="parquet")
    with pytest.raises(RecipeError, match="did you mean 'jsonl'"):
        select(tmp_path / "a.jsonl", tmp_path / "out", even, format="json")


def test_text_files_come_out_as_json_lines(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for k in range(4):
        (folder / f"f{k}.md").write_text(f"file é {k}\n")
    (written,) = select(folder, tmp_path / "out", even)
    assert written.name == "docs.jsonl"
    assert json.loads(written.read_bytes().splitlines()[1]) == {"id": "f2.md", "source": "", "text": "file é 2\n"}


def test_manifest_has_the_promised_columns_and_stable_bytes(tmp_path: Path) -> None:
    columns = {
        "row": np.arange(3), "id": Texts.of(["a", "é", ""]), "shard": "x.jsonl", "source": ["web", None, "code"],
        "bytes": np.array([1, 2, 3]),
        "status": ["chosen", "not_chosen", "quarantined"], "reason": ["", "budget", "broken"],
        "score": np.array([0.5, -1, np.nan]),
        "rank": np.array([0, -1, -1]), "weight": np.array([1.0, 0, 0]),
    }  # fmt: skip
    for name in ("a.parquet", "b.parquet"):
        write_manifest_part(str(tmp_path / name), columns)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    table = read_manifest([str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")])
    assert table.schema == MANIFEST and table.num_rows == 6
    assert table.slice(0, 3).to_pylist()[2] == {
        "row": 2, "id": "", "shard": "x.jsonl", "source": "code", "bytes": 3, "status": "quarantined",
        "reason": "broken", "score": None,
        "rank": None, "weight": 0.0,
    }  # fmt: skip


def test_quarantine_round_trip(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n\xff\xfe\n')
    bad = [row for row in rows_of(str(tmp_path / "a.jsonl")) if isinstance(row, Bad)]
    write_quarantine(str(tmp_path / "quarantine.jsonl"), [quarantine_entry("a.jsonl", item, 10, 20) for item in bad])
    (entry,) = read_quarantine(str(tmp_path / "quarantine.jsonl"))
    assert entry["file"] == "a.jsonl" and (
        entry["row"],
        entry["line"],
        entry["offset"],
        entry["length"],
        entry["raw"],
    ) == (11, 22, 14, 2, "//4=")
