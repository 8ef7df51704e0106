"""Writing edited rows: the new text in the old one's place, every other byte, column and type as it came."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pools import rows_of, texts_of

from assay.errors import InputError
from assay.io.fields import Fields, detect
from assay.io.reader import read
from assay.io.rewrite import copy_edited
from assay.io.sources import find, plan
from assay.io.writer import copy_rows, finish, join, output_name
from assay.types import Texts

OPEN = Fields()
NASTY = 'new "quoted", é 😀 \u2028 \\ back/slash\r\nline\ttab \x01 end'


def edit(
    source: Path, out: Path, new: dict[int, str], fields: Fields = OPEN, keep: object = None, size: int = 1 << 20
) -> list[Path]:
    """Write all rows (or those of `keep`), some with other texts; return the files in `out`."""
    shards = find([str(source)])
    first = 0
    for shard in shards:
        parts = []
        for piece in plan([shard], size):
            known = detect([shard], fields)
            count = sum(block.count for block in read(piece, known, ()))
            part = out.parent / f"{out.name}-part-{shard.index}-{piece.number}"
            mine = np.array(sorted(row - first for row in new if first <= row < first + count), np.int64)
            mask = np.array([keep is None or first + row in keep for row in range(count)], bool)  # type: ignore[operator]
            texts = Texts.of([new[row + first] for row in mine.tolist()])
            assert copy_edited(piece, mask, mine, texts, known, str(part)) == mask.sum()
            parts.append(str(part))
            first += count
        join(parts, shard, str(out / output_name(shard)))
    finish(shards, str(out), None)
    return sorted(path for path in out.rglob("*") if path.is_file())


def test_only_the_bytes_of_the_text_change(tmp_path: Path) -> None:
    lines = [
        b'{"n": 1.50, "text": "one", "z": 1e5}',
        b' {"a":"\\u00e9","text" :  "tw\xc3\xb6"  }\r',
        b'{"text": "early", "big": 123456789012345678901234567890, "text": "late"}',
        b"broken",
        b'{"te\\u0078t": "three\\n", "x": {"text": "inner"}}',
    ]
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + b"\n\n".join(lines))
    (written,) = edit(source, tmp_path / "out", {0: "ONE é", 1: "zwö", 2: "LAST", 4: NASTY}, Fields("text"))
    assert written.read_bytes().split(b"\n") == [
        b'{"n": 1.50, "text": "ONE \\u00e9", "z": 1e5}',
        b' {"a":"\\u00e9","text" :  "zw\xc3\xb6"  }\r',
        b'{"text": "early", "big": 123456789012345678901234567890, "text": "LAST"}',
        b"broken",
        b'{"te\\u0078t": ' + json.dumps(NASTY).encode() + b', "x": {"text": "inner"}}',
        b"",
    ]
    assert texts_of(str(written)) == ["ONE é", "zwö", "LAST", NASTY]


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_rows_without_an_edit_leave_as_the_plain_copy_writes_them(tmp_path: Path, size: int) -> None:
    lines = [json.dumps({"id": k, "text": f"text é {k}"}, ensure_ascii=k % 2 == 0).encode() for k in range(300)]
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\n".join(lines))
    keep = set(range(0, 300, 3))
    (written,) = edit(source, tmp_path / "out", {6: "six", 7: "not kept"}, keep=keep, size=size)
    expected = [lines[row] for row in sorted(keep)]
    expected[2] = b'{"id": 6, "text": "six"}'
    assert written.read_bytes().split(b"\n") == [*expected, b""]
    piece = plan(find([str(source)]), 1 << 20)[0]
    mask = np.array([row in keep for row in range(300)])
    copy_rows(piece, mask, str(tmp_path / "plain"))
    copy_edited(piece, mask, np.zeros(0, np.int64), Texts.of([]), Fields("text"), str(tmp_path / "edited"))
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "edited").read_bytes()


def test_a_nested_field_and_packed_files(tmp_path: Path) -> None:
    rows = [{"metadata": {"k": [1, {"text": "no"}], "text": f"t{k}"}, "text": "no"} for k in range(5)]
    source = tmp_path / "a.jsonl.gz"
    source.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    fields = Fields("metadata.text")
    (written,) = edit(source, tmp_path / "out", {1: "x", 3: NASTY}, fields)
    rows[1]["metadata"]["text"], rows[3]["metadata"]["text"] = "x", NASTY  # type: ignore[index]
    assert [json.loads(line) for line in gzip.decompress(written.read_bytes()).splitlines()] == rows


def test_a_json_array(tmp_path: Path) -> None:
    rows = [{"id": k, "text": f"t{k}\n"} for k in range(4)]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=2))
    (written,) = edit(tmp_path / "a.json", tmp_path / "out", {2: NASTY})
    rows[2]["text"] = NASTY
    assert json.loads(written.read_bytes()) == rows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_keeps_its_other_cells_byte_for_byte(tmp_path: Path, end: str) -> None:
    records = ['"id",text,"note, long"', '1,plain,"a ""b"""', '02,"with, comma",', '3,"two\nlines",x', "4,last, y "]
    source = tmp_path / "a.csv"
    source.write_bytes((end.join(records) + end).encode())
    (written,) = edit(source, tmp_path / "out", {0: "other", 1: "no more", 2: NASTY, 3: 'a "b"'})
    spelled = '"' + NASTY.replace('"', '""') + '"'
    changed = [records[0], '1,other,"a ""b"""', '02,"no more",', f"3,{spelled},x", '4,"a ""b""", y ']
    assert written.read_bytes() == (end.join(changed) + end).encode()
    assert texts_of(str(written)) == ["other", "no more", NASTY, 'a "b"']
    assert [row[2] for row in csv.reader(io.StringIO(written.read_text(), newline=""))][2:] == ["", "x", " y "]


def test_tab_separated_with_the_text_last(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("id\ttext\n1\ta, b\n2\tc\n")
    (written,) = edit(tmp_path / "a.tsv", tmp_path / "out", {1: "tab\there"})
    assert written.read_text() == 'id\ttext\n1\ta, b\n2\t"tab\there"\n'


def test_text_files(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.txt").write_text(f"file {name}")
    (written,) = edit(tmp_path / "in", tmp_path / "out", {1: NASTY})
    assert [json.loads(line)["text"] for line in written.read_bytes().splitlines()] == ["file a", NASTY, "file c"]


KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_parquet_keeps_columns_and_types(tmp_path: Path, kind: pa.DataType, size: int) -> None:
    count = 9000 if size > 1 else 2000
    texts = [None if k % 1000 == 999 else f"text {k % 50}" for k in range(count)]
    column = pa.array(texts).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(texts, kind)
    nested = pa.array([{"a": [{"b": k}], "c": None} for k in range(count)])
    table = pa.table({"n": pa.array(range(count), pa.int16()), "text": column, "nested": nested})
    table = table.replace_schema_metadata({"origin": "test"})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=count // 2 + 500)
    new = {0: "é", count // 2: NASTY, count - 2: "last"}
    keep = set(range(count)) - set(range(100, 900))
    (written,) = edit(tmp_path / "a.parquet", tmp_path / "out", new, keep=keep, size=size)
    before, after = pq.read_table(tmp_path / "a.parquet"), pq.read_table(written)
    assert after.schema.equals(before.schema, check_metadata=True)
    mask = pa.array([row in keep for row in range(count)])
    assert after.drop_columns("text").equals(before.drop_columns("text").filter(mask))
    assert after["text"].to_pylist() == [new.get(row, texts[row]) for row in sorted(keep)]


def test_a_field_of_structs(tmp_path: Path) -> None:
    rows = [{"metadata": None if k == 2 else {"text": f"t{k}", "k": k, "deep": {"x": None}}} for k in range(6)]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "a.parquet")
    (written,) = edit(tmp_path / "a.parquet", tmp_path / "out", {1: "new", 5: NASTY}, Fields("metadata.text"))
    rows[1]["metadata"]["text"], rows[5]["metadata"]["text"] = "new", NASTY  # type: ignore[index]
    after = pq.read_table(written)
    assert after.to_pylist() == rows and after.schema.equals(table.schema)


def test_saved_datasets_open_again(tmp_path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    made = datasets.Dataset.from_list([{"id": k, "text": f"t{k}"} for k in range(30)])
    made.save_to_disk(str(tmp_path / "one"), num_shards=2)
    edit(tmp_path / "one", tmp_path / "out", {3: "three", 20: NASTY})
    after = datasets.load_from_disk(str(tmp_path / "out" / "one"))
    assert after.features == made.features and len(after) == 30
    assert after[3]["text"] == "three" and after[20]["text"] == NASTY and after[4]["text"] == "t4"


def refused(source: Path, fields: Fields = OPEN) -> str:
    with pytest.raises(InputError, match="edit steps need one plain text field") as error:
        edit(source, source.parent / "refused", {0: "x"}, fields)
    return str(error.value)


def test_texts_of_several_fields_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    assert "{instruction}" in refused(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"messages": [{"role": "user", "content": "Hi"}]}\n')
    assert "chat" in refused(tmp_path / "b.jsonl")
    chats = pa.Table.from_pylist([{"messages": [{"role": "user", "content": "Hi"}]}])
    pq.write_table(chats, tmp_path / "c.parquet")
    assert "list" in refused(tmp_path / "c.parquet")
    narrow = pa.array(["a"]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
    with (
        pa.OSFile(str(tmp_path / "d.arrow"), "wb") as file,
        pa.ipc.new_file(file, pa.schema([("text", narrow.type)])) as w,
    ):
        w.write_batch(pa.record_batch({"text": narrow}))
    assert "dictionary" in refused(tmp_path / "d.arrow")


def test_a_template_of_one_field_is_one_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    (written,) = edit(tmp_path / "a.jsonl", tmp_path / "out", {0: "x"})
    assert written.read_text() == '{"prompt": "x"}\n{"prompt": "b"}\n'


def test_what_cannot_be_read_is_not_counted_away(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "a"}\n' + json.dumps({"text": "b" * 500}) + '\n{"text": "c"}\n')
    (written,) = edit(source, tmp_path / "out", {2: "C"}, Fields("text", max_line=100), keep={0, 2})
    assert rows_of(str(written)) == ["a", "C"]
