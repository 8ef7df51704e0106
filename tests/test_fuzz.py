"""A few seconds of `bench/prove_fuzz.py` in every run of the suite, the same inputs each time; and every crash that it has found.

A case stands for the kind of input that broke something: its bytes are made here, so that one can see what is wrong with them.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import ROOT

from assay.errors import AssayError, InputError
from assay.io.fields import Fields, detect
from assay.io.sources import find, plan
from assay.io.tables import Within

sys.path.insert(0, str(ROOT / "bench"))

import prove_fuzz as fuzz

EXAMPLES = {"recipe": 25, "board": 25, "JSON lines": 30, "JSON lines, limit": 30, "gzip": 25}


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_mutated_inputs_end_in_rows_or_in_a_sentence(name: str, tmp_path: Path) -> None:
    fuzz.batch(fuzz.TARGETS[name], tmp_path, EXAMPLES.get(name, 50), 7, lambda data: None)


def test_the_search_would_find_a_crash_and_a_lost_row(tmp_path: Path) -> None:
    def broken(data: bytes, folder: Path) -> None:
        if data.count(b"a") > 2:
            raise KeyError("ours")

    with pytest.raises(KeyError):
        fuzz.batch(fuzz.Target(broken, (b"aa",)), tmp_path, 200, 0, lambda data: None)
    with pytest.raises(AssertionError, match="1 rows, but there are 2"):
        fuzz.agree(1, 2)


# --- Crashes that were found ------------------------------------------------------------------------------------------------


def file(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def test_a_csv_record_beyond_its_header(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", b"tex\na,1\nb,2\n\nc,3")
    with pytest.raises(InputError, match="its fields are tex"):
        detect(find([path]), Fields())


def test_a_csv_header_that_is_no_utf8(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must name its columns in UTF-8"):
        fuzz.through(Path(file(tmp_path, "a.csv", b"id,t\xf7xt\nr0,plain\n")), Fields(text="text"))


def test_a_csv_field_longer_than_the_library_likes(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", b'id,text\nr0,"' + b"long " * 40_000 + b'"\nr1,short\n')
    assert detect(find([path]), Fields()).text == "text" and fuzz.through(Path(path), Fields(text="text")) == 2


@pytest.mark.parametrize("template", ["{}", "{}\n{text}", "{text}{}", "\udcff{text}", "{0.__class__}", "{"])
def test_templates_without_a_name_or_beyond_utf8(template: str, tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", fuzz.PLAIN)
    with pytest.raises(InputError):
        detect(find([path]), Fields(template=template))


@pytest.mark.parametrize("template", ["{{id}} {text}", "}}{text}", "Q: {id}{{\n{text}", "{text}}}"])
def test_templates_with_braces_of_their_own(template: str, tmp_path: Path) -> None:
    fuzz.template(template.encode(), tmp_path)
    fields = Fields(template=template, form="turns")
    assert fuzz.through(tmp_path / "a.jsonl", fields) == len(fuzz.ROWS)


def test_parquet_whose_schema_is_damaged(tmp_path: Path) -> None:
    whole = fuzz.in_parquet()
    size = int.from_bytes(whole[-8:-4], "little")
    for damaged in (
        whole[: -8 - size] + b"\xff" * size + whole[-8:],
        whole.replace(b"source", b"s\xf7urce"),
        whole[:-4] + b"PARX",
    ):
        path = file(tmp_path, "a.parquet", damaged)
        with pytest.raises(InputError, match="must be a Parquet file"):
            detect(find([path]), Fields())
        with pytest.raises(AssayError):
            plan(find([path]))


def test_arrow_that_claims_and_points_beyond_its_end(tmp_path: Path) -> None:
    for name, other in ((b"\x0c\x00\x06\x00\x05\x00", b"\x0c\x00\x06\xf7\x05\x00"), (b"score", b"s\xf7ore")):
        whole = fuzz.in_arrow(True)
        assert name in whole
        with pytest.raises(AssayError):
            fuzz.through(Path(file(tmp_path, "a.arrow", whole.replace(name, other, 1))))
    offsets = pa.py_buffer(pa.array([0, 1 << 30, 5], pa.int32()).buffers()[1])
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"hello")])
    out = io.BytesIO()
    with pa.ipc.new_stream(out, pa.schema([("text", pa.string())])) as writer:
        writer.write_batch(pa.record_batch([broken], names=["text"]))
    assert (
        fuzz.through(Path(file(tmp_path, "b.arrow", out.getvalue())), Fields(text="text")) == 1
    )  # one quarantined row


def test_texts_of_tables_that_are_no_utf8(tmp_path: Path) -> None:
    texts = pa.array([b"good", b"b\xf7d", b"good"]).view(pa.string())
    chats = pa.StructArray.from_arrays([pa.array(["user"] * 3), texts], ["role", "content"])
    table = pa.table({"text": texts, "chat": pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), chats)})
    pq.write_table(table, tmp_path / "a.parquet")
    for fields in (Fields(text="text"), Fields(text="chat"), Fields(template="{text} and {text}")):
        assert fuzz.through(tmp_path / "a.parquet", fields) == 3
    assert detect(find([str(tmp_path / "a.parquet")]), Fields()).text == "text"


def test_nobody_asks_a_file_for_more_than_it_has() -> None:
    within = Within(io.BytesIO(b"12345"))
    within.seek(2)
    assert (within.read(1 << 60), within.read(1), within.read()) == (b"345", b"", b"")


def test_a_parquet_file_whose_counts_do_not_agree(tmp_path: Path) -> None:
    """Flipped bits in the footer that make a row group promise rows which the file does not have."""
    out = io.BytesIO()
    table = pa.table({"id": [f"r{k}" for k in range(7)], "text": [f"some plain text {k}" for k in range(7)]})
    pq.write_table(table, out, row_group_size=3)
    whole, tried = out.getvalue(), 0
    for place in range(len(whole) // 2, len(whole)):
        data = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        try:
            meta = pq.ParquetFile(io.BytesIO(data)).metadata
            promised = sum(meta.row_group(k).num_rows for k in range(meta.num_row_groups))
        except Exception:
            continue
        if promised != meta.num_rows:
            tried += 1
            with pytest.raises(InputError, match="must be a whole Parquet file"):
                find([file(tmp_path, "a.parquet", data)]) and plan(find([str(tmp_path / "a.parquet")]))
    assert tried
