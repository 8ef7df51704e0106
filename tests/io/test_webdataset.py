"""Archives of image-text samples, against Python's own tarfile library, and against damage at every place."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from command import account_holds, chosen, done, manifest, quarantined, select
from image_pairs import GOLDEN, members, pairs, png, sample, tarred
from pools import bad_of, rows_of, texts_of

from assay.errors import InputError
from assay.io import webdataset
from assay.io.blocks import Bad
from assay.io.encoded_images import SUFFIXES, encoded_at, fault_of, picture
from assay.io.fields import Fields, detect
from assay.io.reader import read
from assay.io.rows import raw_rows
from assay.io.sources import find, plan
from assay.io.writer import copy_rows, join

FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def columns_of(path: Path, *names: str, fields: Fields | None = None) -> dict[str, list[Any]]:
    """Columns of the readable rows."""
    shards = find([str(path)])
    known = detect(shards, fields or Fields())
    found: dict[str, list[Any]] = {name: [] for name in names}
    for piece in plan(shards):
        for block in read(piece, known, names):
            for name in names:
                column = block.batch.columns[name]
                if name == "image":
                    found[name] += [encoded_at(column, k) for k in range(len(column))]
                else:
                    found[name] += list(column)
    return found


def test_real_samples_are_what_tarfile_reads() -> None:
    expected = dict(members(GOLDEN))
    found = columns_of(GOLDEN, "id", "text", "image", "source")
    assert len(found["id"]) == 60 == len(set(found["id"]))
    for key, text, image, source in zip(*found.values(), strict=True):
        assert text == expected[f"{key}.txt"].decode() and image == expected[f"{key}.png"]
        assert source == json.loads(expected[f"{key}.json"])["source"] == "fxemoji"


@pytest.mark.parametrize("form", FORMS)
def test_long_and_foreign_names_in_every_dialect(tmp_path: Path, form: str) -> None:
    names = ["a", "deep/er/b", "d.ot/c", "ü/日本語", "x" * 90, "y" * 90 + "/" + "z" * 60]
    if form != "ustar":
        names.append("/".join(["long" * 30] * 4))
    image, made = png(1), []
    for k, name in enumerate(names):
        made += [(f"{name}.png", image), (f"{name}.seg.png", b"not looked at"), (f"{name}.txt", b"caption %d" % k)]
    path = tarred(tmp_path / "pairs.tar", made, FORMS[form])
    found = columns_of(path, "id", "text")
    assert found["id"] == names and found["text"] == [f"caption {k}" for k in range(len(names))]
    assert [name for name, _ in members(path)] == [name for name, _ in made]


def test_sizes_in_binary_and_pax_records(tmp_path: Path) -> None:
    path = tarred(tmp_path / "pairs.tar", sample("a", png(1), "one"), tarfile.USTAR_FORMAT)
    raw = bytearray(path.read_bytes())
    size = int(raw[124:136].rstrip(b"\0 "), 8)
    raw[124:136] = b"\x80" + size.to_bytes(11, "big")  # as GNU tar writes sizes from 8 GB on
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    path.write_bytes(bytes(raw))
    assert texts_of(str(path)) == ["one"] and members(path)[0][1] == png(1)


def test_packed_archives_hold_the_same_rows(tmp_path: Path) -> None:
    raw = gzip.decompress(GOLDEN.read_bytes())
    (tmp_path / "a.tar").write_bytes(raw)
    (tmp_path / "a.tar.zst").write_bytes(zstandard.compress(raw))
    plain = texts_of(str(tmp_path / "a.tar"))
    assert plain == texts_of(str(GOLDEN)) == texts_of(str(tmp_path / "a.tar.zst")) == [text for _, text in pairs()]


def broken(tmp_path: Path, made: Sequence[tuple[str, bytes]], fields: Fields | None = None) -> list[str]:
    """What is said of the samples between two good ones."""
    whole = [*sample("first", png(1), "good"), *made, *sample("last", png(2), "good too")]
    found = rows_of(str(tarred(tmp_path / "pairs.tar", whole)), fields)
    assert found[0] == "good" and found[-1] == "good too"
    return [one.reason if isinstance(one, Bad) else one for one in found[1:-1]]


def test_broken_samples_are_rows_with_their_reason(tmp_path: Path) -> None:
    whole, suffixes = png(3), " ".join(SUFFIXES)
    wrong = bytearray(whole)
    wrong[60] ^= 1
    assert broken(tmp_path, [("a.png", whole)]) == ["the sample has no caption: no .txt, and no 'text' in a .json"]
    assert broken(tmp_path, [("a.txt", b"alone")]) == [f"the sample has no image ({suffixes})"]
    assert broken(tmp_path, sample("a", whole[:-20], "cut")) == ["the image is damaged (png: it ends early)"]
    assert broken(tmp_path, sample("a", bytes(wrong), "bit")) == ["the image is damaged (png: a checksum is wrong)"]
    assert broken(tmp_path, sample("a", b"hello", "text")) == [
        "the image is of no known kind: jpg, png, webp, gif or bmp"
    ]
    assert broken(tmp_path, sample("a", b"", "none")) == ["the image is empty"]
    assert broken(tmp_path, sample("a", whole, "")) == ["the text is empty"]
    assert broken(tmp_path, [("a.png", whole), ("a.txt", b"caf\xe9")]) == ["the text is not valid UTF-8"]
    assert broken(tmp_path, [("a.png", whole), ("a.json", b'{"text": "\\ud800"}')])[0].startswith("the text holds half")
    assert broken(tmp_path, [("a.png", whole), ("a.json", b'{"text": 3}')]) == ["the field 'text' must be a string"]
    assert broken(tmp_path, [("a.png", whole), ("a.json", b"{broken")])[0].startswith("the sample has no caption")
    twice = [*sample("a", whole, "one"), ("a.txt", b"two")]
    assert broken(tmp_path, twice) == ["the sample has two members 'txt'"]


def test_a_sample_above_the_limit_is_one_row(tmp_path: Path) -> None:
    large = [("big.png", png(4)), ("big.txt", b"x" * 300_000)]
    path = tarred(tmp_path / "pairs.tar", [*sample("a", png(1), "one"), *large, *sample("b", png(2), "two")])
    first, bad, last = rows_of(str(path), Fields(max_line=100_000))
    assert (first, last) == ("one", "two") and bad.reason == "the sample is longer than 100000 bytes"
    raw = path.read_bytes()
    assert bad.raw == raw[bad.offset : bad.offset + (1 << 16)] and len(bad.raw) == 1 << 16
    assert bad.length == sum(512 + -(-len(content) // 512) * 512 for _, content in large)


def test_what_belongs_to_no_sample_is_passed_over(tmp_path: Path) -> None:
    made = [
        ("./", b""), ("a/", b""), ("a/0.png", png(1)), ("Makefile", b"all:"), ("a/._0.txt", b"a Mac's"), ("a/0.txt", b"zero"),
        ("__meta__/1.txt", b"meta"), ("__meta__/1.png", png(3)),
        ("a/.hidden.png", b""), ("a/0.cls", b"7"), ("a/1.PNG", png(2)), ("a/1.txt", b"one\r\n"),
    ]  # fmt: skip
    path = tarred(tmp_path / "pairs.tar", made)
    found = columns_of(path, "id", "text")
    assert found == {"id": ["a/0", "a/1"], "text": ["zero", "one"]}
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("a/2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert columns_of(path, "id", "text") == found


def test_captions_of_json_and_other_columns(tmp_path: Path) -> None:
    told = [{"caption": f"number {k}", "rank": k / 2, "key": f"k{k}", "deep": {"domain": "web"}} for k in range(3)]
    made = [
        one for k, row in enumerate(told) for one in ((f"{k}.jpg", jpeg(k)), (f"{k}.json", json.dumps(row).encode()))
    ]
    path = tarred(tmp_path / "pairs.tar", made)
    assert texts_of(str(path)) == ["number 0", "number 1", "number 2"]
    fields = Fields(source="deep.domain", id="key", extra=("rank", "no"))
    found = columns_of(path, "id", "source", "rank", "no", fields=fields)
    assert found["id"] == ["k0", "k1", "k2"] and found["source"] == ["web"] * 3 and found["rank"] == [0, 0.5, 1]
    assert np.isnan(found["no"]).all()
    assert texts_of(str(path), Fields(template="{caption}: {rank}")) == [
        "number 0: 0.0",
        "number 1: 0.5",
        "number 2: 1.0",
    ]
    turns = replace(detect(find([str(path)]), Fields()), form="turns")
    (block,) = read(plan(find([str(path)]))[0], turns, ())
    assert block.batch.text[0] == "\x01\x02number 0\x03"


def jpeg(seed: int) -> bytes:
    held = io.BytesIO()
    opened(png(seed)).save(held, "JPEG")
    return held.getvalue()


def opened(encoded: bytes) -> Any:
    found = picture(encoded)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_every_cut_of_an_image_is_found_without_a_library(kind: str) -> None:
    held = io.BytesIO()
    opened(png(5, (9, 7))).save(held, kind)
    whole = held.getvalue()
    assert fault_of(whole) == "" and opened(whole).size == (9, 7)
    assert all(fault_of(whole[:cut]) for cut in range(len(whole) - 2))


def test_a_preview_inside_does_not_end_an_image() -> None:
    inner, outer = jpeg(1), jpeg(2)
    segment = b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner
    with_preview = outer[:2] + segment + outer[2:]
    assert fault_of(with_preview) == ""
    assert all(fault_of(with_preview[:cut]) for cut in range(len(segment), len(with_preview) - 2)), (
        "cut in its scan too"
    )


def test_a_cut_anywhere_leaves_the_rows_before_it_and_one_that_says_why(tmp_path: Path) -> None:
    made = [one for k in range(3) for one in sample(f"s{k}", png(k, (3, 3)), f"caption {k}")]
    raw = tarred(tmp_path / "whole.tar", made, tarfile.USTAR_FORMAT).read_bytes()
    end, path = raw.rstrip(b"\0"), tmp_path / "cut.tar"
    texts = [f"caption {k}" for k in range(3)]
    for cut in [*range(512, len(end), 512), *range(700, len(end), 977)]:
        path.write_bytes(raw[:cut])
        found = list(webdataset.read_webdataset(plan(find([str(path)]))[0], Fields(text="text", id="id"), ()))
        good = [text for block in found for text in block.batch.text]
        bad = [item for block in found for item in block.bad]
        assert good == texts[: len(good)] and len(bad) == 1, cut
        assert bad[0].reason.startswith("the tar archive ends early"), cut
        assert len(good) == sum(end.find(b"s%d.txt" % k) + 1024 <= cut for k in range(3)), cut


def test_damage_ends_an_archive_with_one_row(tmp_path: Path) -> None:
    made = [one for k in range(3) for one in sample(f"s{k}", png(k, (3, 3)), f"caption {k}")]
    raw = bytearray(tarred(tmp_path / "pairs.tar", made, tarfile.USTAR_FORMAT).read_bytes())
    at = raw.index(b"s1.png")
    raw[at + 130] ^= 1  # a digit of its size: the checksum is wrong
    (tmp_path / "pairs.tar").write_bytes(raw)
    good, bad = rows_of(str(tmp_path / "pairs.tar"))
    assert good == "caption 0" and bad.reason == f"the tar archive is damaged at byte {at}"
    packed = GOLDEN.read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(packed[: len(packed) // 2])
    *good, bad = rows_of(str(tmp_path / "b.tar.gz"))
    assert good == [text for _, text in pairs()[: len(good)]] and 20 < len(good) < 40
    assert bad.reason == "the gzip data ends early" and bad.length > 0


def test_archives_put_together_are_read_to_the_end(tmp_path: Path) -> None:
    one, two = (tarred(tmp_path / f"{k}.tar", sample(str(k), png(k), f"caption {k}")) for k in (1, 2))
    (tmp_path / "both.tar").write_bytes(one.read_bytes() + two.read_bytes())
    assert texts_of(str(tmp_path / "both.tar")) == ["caption 1", "caption 2"]


def test_hostile_headers_are_damage_and_nothing_worse(tmp_path: Path) -> None:
    raw = tarred(tmp_path / "pairs.tar", sample("a", png(1), "one"), tarfile.USTAR_FORMAT).read_bytes()
    huge = (124, b"77777777777\0")
    for hostile in ([(124, b"-0000000007\0")], [(124, b"\xff" * 12)], [huge], [(156, b"S")], [(156, b"x"), huge]):
        block = bytearray(raw)
        for field, value in hostile:
            block[field : field + len(value)] = value
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block[:512])
        (tmp_path / "bad.tar").write_bytes(bytes(block))
        bad = bad_of_archive(tmp_path / "bad.tar")
        assert len(bad) == 1 and "tar archive" in bad[0].reason, hostile


def bad_of_archive(path: Path) -> list[Bad]:
    piece = plan(find([str(path)]))[0]
    return [item for block in read(piece, Fields(text="text"), ()) for item in block.bad]


def test_random_bytes_never_raise(tmp_path: Path) -> None:
    raw = tarred(
        tmp_path / "pairs.tar", [one for k in range(2) for one in sample(str(k), png(k, (3, 3)), "x")]
    ).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "fuzz.tar"
    for _ in range(150):
        block = bytearray(raw)
        for at in rng.integers(0, len(raw), 3):
            block[at] = rng.integers(256)
        path.write_bytes(bytes(block[: rng.integers(1, len(raw))]))
        for item in bad_of_archive(path):
            assert item.reason


def test_chosen_samples_leave_with_every_byte_of_their_members(tmp_path: Path) -> None:
    raw = gzip.decompress(GOLDEN.read_bytes())
    (tmp_path / "pairs.tar").write_bytes(raw)
    (shard,) = find([str(tmp_path / "pairs.tar")])
    piece, keep = plan([shard])[0], np.arange(60) % 7 == 3
    for mask in (keep, np.ones(60, bool)):
        assert copy_rows(piece, mask, str(tmp_path / "part")) == mask.sum()
        join([str(tmp_path / "part")], shard, str(tmp_path / "out.tar"))
        out = (tmp_path / "out.tar").read_bytes()
        assert members(tmp_path / "out.tar") == [
            one for k in np.flatnonzero(mask) for one in members(GOLDEN)[3 * k : 3 * k + 3]
        ]
        assert out.endswith(bytes(1024)) and (not mask.all() or out[:-1024] == raw[: len(out) - 1024])
        assert all(out[at : at + 512] in raw for at in range(0, len(out) - 1024, 512))


def test_headers_of_the_whole_archive_stay(tmp_path: Path) -> None:
    made = [one for k in range(2) for one in sample(str(k), png(k), f"caption {k}")]
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "of all"}) as archive:
        for name, content in made:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    (shard,) = find([str(tmp_path / "a.tar")])
    copy_rows(plan([shard])[0], np.array([False, True]), str(tmp_path / "part"))
    join([str(tmp_path / "part")], shard, str(tmp_path / "out.tar"))
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert archive.getnames() == ["1.png", "1.txt"] and archive.pax_headers == {"comment": "of all"}


def test_rows_for_trainers_hold_the_image() -> None:
    row = next(iter(raw_rows(plan(find([str(GOLDEN)]))[0])))
    image, text = pairs()[0]
    assert row["image"] == image and row["text"] == text and row["id"] == "0000" and row["label"] == "objects"


def test_the_command_keeps_samples_whole_and_writes_under_no_name_of_theirs(tmp_path: Path) -> None:
    made = [one for k, pair in enumerate(pairs()[:20]) for one in sample(f"{k:02}", *pair, source="ab"[k % 2])]
    evil = [
        *sample("../../evil", png(1), "leads out"),
        *sample("/evil", png(2), "from the top"),
        ("only.txt", b"no image"),
    ]
    pool = tarred(tmp_path / "in" / "pairs.tar.gz", [*made, *evil]) if (tmp_path / "in").mkdir() is None else None
    run = tmp_path / "run"
    done(pool, "--method", "random", "--budget", "50%", "--out", run)
    account_holds(run, 23)
    assert quarantined(run)[0]["reason"].startswith("the sample has no image") and len(quarantined(run)) == 1
    ids = manifest(run)["id"].to_list()
    kept = [ids[row] for row in chosen(run)]
    out = members(run / "selected" / "pairs.tar.gz")
    assert [name for name, _ in out if name.endswith(".png")] == [f"{key}.png" for key in kept] and len(kept) == 11
    source = dict(members(pool))
    assert all(source[name] == content for name, content in out)
    assert not list(tmp_path.rglob("evil*")) and not Path("/evil.png").exists()


def test_text_methods_rank_captions(tmp_path: Path) -> None:
    pool = tarred(tmp_path / "pairs.tar", [one for k in range(9) for one in sample(str(k), png(k), "ab " * (k + 1))])
    done(pool, "--method", "length", "--budget", "3", "--out", tmp_path / "run")
    assert chosen(tmp_path / "run") == [6, 7, 8]


def test_other_formats_on_demand(tmp_path: Path) -> None:
    pool = tarred(
        tmp_path / "pairs.tar", [one for k, pair in enumerate(pairs()[:4]) for one in sample(str(k), *pair, n=k)]
    )
    done(pool, "--method", "random", "--budget", "4", "--format", "parquet", "--out", tmp_path / "p")
    table = pq.read_table(tmp_path / "p" / "selected" / "pairs.parquet").to_pylist()
    assert [(row["image"], row["text"]) for row in table] == list(pairs()[:4]) and table[2]["n"] == 2
    refused = select(pool, "--recipe", "c4", "--method", "random", "--budget", "4", "--out", tmp_path / "e").sentence
    assert "lies in an archive" in refused


def test_parquet_with_images_keeps_its_columns(tmp_path: Path) -> None:
    images = [image for image, _ in pairs()[:6]]
    for kind in ("binary", "struct"):
        held = (
            pa.array(images, pa.binary())
            if kind == "binary"
            else pa.array([{"bytes": one, "path": "x"} for one in images])
        )
        table = pa.table({"image": held, "caption": [text for _, text in pairs()[:6]], "n": list(range(6))})
        pq.write_table(table, tmp_path / f"{kind}.parquet")
        found = columns_of(tmp_path / f"{kind}.parquet", "text", "image")
        assert list(zip(found["image"], found["text"], strict=True)) == list(pairs()[:6])
        done(tmp_path / f"{kind}.parquet", "--method", "random", "--budget", "3", "--out", tmp_path / kind)
        kept = pq.read_table(tmp_path / kind / "selected" / f"{kind}.parquet")
        assert kept.schema == table.schema and kept.to_pylist() == [
            table.to_pylist()[row] for row in chosen(tmp_path / kind)
        ]
    pq.write_table(pa.table({"caption": ["a"], "pixels": [b"x"]}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match="must have a column of encoded images"):
        columns_of(tmp_path / "none.parquet", "image")


def test_an_archive_without_samples_is_refused(tmp_path: Path) -> None:
    path = tarred(tmp_path / "code.tar", [("Makefile", b"all:"), ("src/", b"")])
    with pytest.raises(InputError, match="it must hold samples of an image and a caption"):
        detect(find([str(path)]), Fields())
    assert bad_of(str(GOLDEN)) == []
