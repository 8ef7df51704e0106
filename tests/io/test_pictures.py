"""Pools of labelled pictures: they come out byte for byte, and nothing hostile gets further than quarantine."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import photos
import pytest
from command import account_holds, assay, chosen, done, jsonl, manifest, products, quarantined, told
from PIL import Image

from assay.errors import InputError
from assay.io import archives
from assay.io.fields import Fields, detect
from assay.io.pictures import PIXELS, fault, pixels, read_pictures
from assay.io.reader import read
from assay.io.sources import find, plan
from assay.run.passes import concatenate
from assay.types import Batch


def whole(path: Path, fields: Fields | None = None, piece_bytes: int = 16 << 20) -> Batch:
    """All readable rows of a pool."""
    shards = find([str(path)])
    known = detect(shards, fields or Fields())
    blocks = [
        block for piece in plan(shards, piece_bytes) for block in read(piece, known, ("id", "source", *known.extra))
    ]
    return concatenate([block.batch for block in blocks])


def test_a_folder_tree_has_a_row_for_each_picture_and_folders_as_labels(tmp_path: Path) -> None:
    files = photos.photos()
    photos.folder(tmp_path / "p", {**files, "notes.md": b"not a picture"})
    batch = whole(tmp_path / "p")
    assert list(batch.columns["id"]) == [f"{label}/{k}.png" for label in ("blue", "red") for k in range(10)]
    assert list(batch.columns["label"]) == ["blue"] * 10 + ["red"] * 10 == list(batch.columns["source"])
    image = batch.columns["image"]
    assert [image.data[a:b].tobytes() for a, b in zip(image.offsets, image.offsets[1:], strict=False)] == list(
        files.values()
    )
    cut = plan(find([str(tmp_path / "p")]), 2000)
    assert len(cut) > 2 and cut[-1].stop == 20, "a folder is worked in pieces"
    single = whole(tmp_path / "p" / "red" / "3.png")
    assert list(single.columns["id"]) == ["3.png"] and list(single.columns["label"]) == [""]


def test_a_folder_of_documents_with_pictures_stays_a_pool_of_text(tmp_path: Path) -> None:
    photos.folder(tmp_path / "docs", {**photos.photos(1), "a.md": b"one", "b.md": b"two"})
    assert [shard.holds for shard in find([str(tmp_path / "docs")])] == ["text"]
    photos.archive(tmp_path / "docs" / "more.zip", photos.photos(2))
    assert find([str(tmp_path / "docs")])[0].files == ("a.md", "b.md"), "an archive beside text is none of its rows"


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_with_class_folders_selected_is_byte_identical(tmp_path: Path, packed: int) -> None:
    files = photos.photos()
    pool = photos.archive(tmp_path / "p.zip", {**files, "README.md": b"x", "__MACOSX/red/._0.png": b"x"}, packed)
    answer = done(pool, "--method", "random", "--budget", "30%", "--out", tmp_path / "run")
    assert "--results RESULTS" in " ".join(answer.out.split()), "the judges are language models"
    account_holds(tmp_path / "run", 20)
    out = photos.unzipped(tmp_path / "run" / "selected" / "p.zip")
    rows = chosen(tmp_path / "run")
    assert out == {list(files)[row]: list(files.values())[row] for row in rows} and len(out) == 6
    assert manifest(tmp_path / "run")["source"].to_list() == ["blue"] * 10 + ["red"] * 10
    held = jsonl(tmp_path / "held.jsonl", [{"text": "some text"}])
    assert "this run chose pictures" in assay("verify", tmp_path / "run", "--eval", held).sentence
    again = whole(tmp_path / "run" / "selected")
    assert len(again) == 6 and set(again.columns["label"]) <= {"blue", "red"}, "what was written is a pool again"


def labelled(place: Path, count: int = 6) -> tuple[Path, list[dict[str, object]]]:
    """An archive with a file of labels beside it, as ../shared/data/images has them."""
    pool = photos.archive(
        place / "p.zip", {f"{k:03}.png": photos.encoded(photos.pixels("red", k)) for k in range(count)}
    )
    rows = [
        {"id": k, "image": f"{k:03}.png", "label": "ab"[k % 2], "human": "xyz"[k % 3], "hard": k / 2}
        for k in range(count)
    ]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in reversed(rows))
    (place / "p_labels.jsonl.gz").write_bytes(gzip.compress(lines, mtime=0))
    return pool, rows


def test_labels_lie_beside_an_archive_whatever_their_order(tmp_path: Path) -> None:
    pool, rows = labelled(tmp_path)
    assert list(whole(pool).columns["label"]) == [row["label"] for row in rows]
    assert list(whole(pool, Fields(source="human")).columns["label"]) == [row["human"] for row in rows]
    assert whole(pool, Fields(extra=("hard",))).columns["hard"].tolist() == [row["hard"] for row in rows]
    answer = assay(
        "select", pool, "--source-field", "humen", "--method", "random", "--budget", "2", "--out", tmp_path / "no"
    )
    assert "did you mean 'human'" in answer.sentence
    done(pool, "--source-field", "human", "--score-field", "hard", "--budget", "2", "--out", tmp_path / "run")
    assert chosen(tmp_path / "run") == [4, 5]
    assert sorted(photos.unzipped(tmp_path / "run" / "selected" / "p.zip")) == ["004.png", "005.png"]
    lines = (tmp_path / "run" / "selected" / "p_labels.jsonl").read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == rows[4:]
    assert list(whole(tmp_path / "run" / "selected").columns["label"]) == ["a", "b"]


def test_other_labels_are_another_pool(tmp_path: Path) -> None:
    pool, rows = labelled(tmp_path)
    flags = ("--method", "uniform_per_domain", "--budget", "4", "--store", tmp_path / "store")
    done(pool, *flags, "--out", tmp_path / "one")
    assert manifest(tmp_path / "one")["source"].to_list() == ["a", "b"] * 3
    lines = b"".join(json.dumps({**row, "label": "c"}).encode() + b"\n" for row in rows)
    (tmp_path / "p_labels.jsonl.gz").write_bytes(gzip.compress(lines, mtime=0))
    done(pool, *flags, "--out", tmp_path / "two")
    assert manifest(tmp_path / "two")["source"].to_list() == ["c"] * 6, "the labels are part of what the store goes by"


@pytest.mark.parametrize("shape", [(7, 5, 6), (7, 5, 6, 1), (7, 5, 6, 3)])
def test_arrays_are_pictures_and_come_out_as_arrays(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    labels = np.array([3, 1, 2, 3, 1, 2, 9])
    np.savez_compressed(
        tmp_path / "d.npz", images=images, labels=labels, weights=np.arange(7) / 7, about=np.array(["x"])
    )
    batch = whole(tmp_path / "d.npz")
    assert list(batch.columns["label"]) == list(map(str, labels)) and list(batch.columns["id"]) == list("0123456")
    shown = images if images.shape[-1] == 3 else np.repeat(images.reshape(7, 5, 6, 1), 3, axis=3)
    for at in range(7):
        one = batch.columns["image"].take(np.array([at]))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(one.data.tobytes())).convert("RGB")), shown[at])
    done(tmp_path / "d.npz", "--method", "random", "--budget", "3", "--out", tmp_path / "run")
    found, rows = np.load(tmp_path / "run" / "selected" / "d.npz"), chosen(tmp_path / "run")
    assert np.array_equal(found["images"], images[rows]) and np.array_equal(found["labels"], labels[rows])
    assert np.array_equal(found["weights"], (np.arange(7) / 7)[rows]) and "about" not in found


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_labels_of_arrays_lie_beside_them(tmp_path: Path, suffix: str) -> None:
    images, labels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4), np.array(["kä", "b"])
    save = np.savez if suffix == "npz" else np.save
    pool = tmp_path / "pool"
    pool.mkdir()
    save(pool / f"k-test-imgs.{suffix}", images)
    save(pool / f"k-test-labels.{suffix}", labels)
    assert list(whole(pool / f"k-test-imgs.{suffix}").columns["label"]) == ["kä", "b"]
    assert len(find([str(pool)])) == 1, "the labels are no shard of their own"
    done(pool, "--method", "random", "--budget", "1", "--out", tmp_path / "run")
    found, (row,) = np.load(tmp_path / "run" / "selected" / "k-test-imgs.npz"), chosen(tmp_path / "run")
    assert np.array_equal(found[found.files[0]], images[[row]]) and found[found.files[1]].tolist() == [labels[row]]


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    pool = photos.folder(tmp_path / "p", photos.photos(labels=("blue", "red", "green")))
    for name in ("one", "two"):
        done(pool, "--method", "random", "--budget", "9", "--out", tmp_path / name)
    assert products(tmp_path / "one") == products(tmp_path / "two")
    assert sorted(photos.unzipped(tmp_path / "one" / "selected" / "p.zip")) == sorted(
        manifest(tmp_path / "one").filter(manifest(tmp_path / "one")["status"] == "chosen")["id"].to_list()
    )


def bomb(side: int) -> bytes:
    """A PNG that says it has side x side pixels, and holds hardly any."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_what_cannot_be_decoded_is_quarantined(tmp_path: Path) -> None:
    good = photos.encoded(photos.pixels("red", 0, 16))
    files = {
        "a/good.png": good, "a/cut.png": good[: len(good) // 2], "a/empty.jpg": b"", "a/text.jpg": b"hello" * 20,
        "a/gif.png": photos.encoded(photos.pixels("red", 1), "GIF"), "a/bomb.png": bomb(60_000),
        "a/script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }  # fmt: skip
    assert PIXELS < 60_000**2
    photos.archive(tmp_path / "p.zip", files)
    done(tmp_path / "p.zip", "--method", "random", "--budget", "1", "--out", tmp_path / "run")
    account_holds(tmp_path / "run", 7)
    reasons = {list(files)[entry["row"]]: entry["reason"] for entry in quarantined(tmp_path / "run")}
    none = "the file is no PNG or JPEG picture"
    assert reasons == {
        "a/cut.png": "the picture is damaged", "a/empty.jpg": "the file is empty", "a/text.jpg": none, "a/gif.png": none,
        "a/bomb.png": "the picture has more than 50,000,000 pixels", "a/script.png": none,
    }  # fmt: skip
    photos.folder(tmp_path / "p", files)
    done(tmp_path / "p", "--method", "random", "--budget", "1", "--out", tmp_path / "folder")
    there = {Path(entry["file"]).name: entry["reason"] for entry in quarantined(tmp_path / "folder")}
    assert there == {Path(name).name: reason for name, reason in reasons.items()}
    assert fault(photos.encoded(photos.pixels("red", 0), "JPEG")) == ""


def test_hostile_archives_are_only_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = photos.encoded(photos.pixels("red", 0))
    names = ["../../out.png", "/etc/out.png", "a\\..\\out.png", "c:/out.png", "a//out.png", "ok/1.png", "a/\x1b[2J.png"]
    photos.archive(tmp_path / "slip.zip", {name: good for name in names})
    done(tmp_path / "slip.zip", "--method", "random", "--budget", "1", "--out", tmp_path / "run")
    kept = photos.unzipped(tmp_path / "run" / "selected" / "slip.zip")
    assert list(kept) == ["ok/1.png"] and told(tmp_path / "run")["counts"]["quarantined"] == 6
    assert not list(tmp_path.parent.rglob("out.png"))

    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as out, pytest.warns(UserWarning, match="Duplicate"):
        out.writestr("a.png", good)
        out.writestr("a.png", photos.encoded(photos.pixels("blue", 0)))
    (block,) = read_pictures(*_first(tmp_path / "twice.zip"))
    assert [bad.reason for bad in block.bad] == ["the archive holds this name twice"] and len(block.batch) == 1

    photos.archive(tmp_path / "large.zip", {"a.png": good, "b.png": good + b"\0" * (1 << 20)}, zipfile.ZIP_DEFLATED)
    piece, fields, columns = _first(tmp_path / "large.zip", Fields(max_line=10_000))
    (block,) = read_pictures(piece, fields, columns)
    assert [bad.reason for bad in block.bad] == ["the file is longer than 10000 bytes"]

    raw = bytearray((tmp_path / "large.zip").read_bytes())
    raw[raw.index(b"a.png") + 40] ^= 0xFF
    (tmp_path / "bits.zip").write_bytes(raw)
    (block,) = read_pictures(*_first(tmp_path / "bits.zip", Fields(max_line=10_000)))
    assert block.bad[0].reason == "the archive is damaged here"

    crypt = bytearray(photos.archive(tmp_path / "plain.zip", {"a.png": good}).read_bytes())
    crypt[crypt.index(b"PK\x01\x02") + 8] |= 1  # the directory's flag: encrypted
    (tmp_path / "crypt.zip").write_bytes(crypt)
    (block,) = read_pictures(*_first(tmp_path / "crypt.zip"))
    assert block.bad[0].reason == "the file is encrypted"

    monkeypatch.setattr(archives, "BOMB_BYTES", 1000)
    photos.archive(tmp_path / "bomb.zip", {"a.png": bytes(1_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="as a zip bomb does"):
        next(iter(read_pictures(*_first(tmp_path / "bomb.zip"))))


def _first(path: Path, fields: Fields | None = None) -> tuple:
    shards = find([str(path)])
    return plan(shards)[0], detect(shards, fields or Fields()), ("id",)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda place: place.write_bytes(b"PK nothing"), "must be a zip archive"),
        (lambda place: photos.archive(place, {"a.txt": b"x"}), "must hold pictures"),
    ],
)
def test_archives_that_are_none_are_refused_in_a_sentence(tmp_path: Path, make, says: str) -> None:
    make(tmp_path / "p.zip")
    assert (
        says
        in assay("select", tmp_path / "p.zip", "--method", "random", "--budget", "1", "--out", tmp_path / "r").sentence
    )


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"a": np.zeros((2, 3, 8, 8), np.uint8)}, "channels last"),
        ({"a": np.zeros((2, 8, 8))}, "must hold one array of pictures"),
        ({"a": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(3, int)}, "a label for each of the 2 pictures"),
        (
            {"a": np.zeros((2, 8, 8), np.uint8), "p": np.zeros(2, int), "q": np.zeros(2, int)},
            "several arrays that may be labels",
        ),
        ({"a": np.array([object(), None], object)}, "must hold plain numbers"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused_in_a_sentence(tmp_path: Path, arrays: dict, says: str) -> None:
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(InputError, match=says):
        whole(tmp_path / "p.npz")


def test_an_array_that_ends_early_loses_only_what_is_not_there(tmp_path: Path) -> None:
    with (tmp_path / "p.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 8, 8)})
        file.write(bytes(64 * 5 + 7))
    (block,) = read_pictures(*_first(tmp_path / "p.npy"))
    assert len(block.batch) == 5 and [bad.reason for bad in block.bad] == [
        "the array is damaged, or ends before its last picture"
    ]


def test_text_and_pictures_are_not_mixed_and_formats_not_changed(tmp_path: Path) -> None:
    pool = photos.archive(tmp_path / "p.zip", photos.photos(2))
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n')
    flags = ("--method", "random", "--budget", "1", "--out", tmp_path / "r")
    assert "text or pictures, not both" in assay("select", pool, tmp_path / "t.jsonl", *flags).sentence
    assert "pictures are written as they came" in assay("select", pool, *flags, "--format", "parquet").sentence


def test_pictures_are_scaled_to_one_size_in_colour() -> None:
    from assay.types import Texts

    grey = np.full((6, 9), 100, np.uint8)
    two = Texts.of_bytes([photos.encoded(grey), photos.encoded(photos.pixels("red", 0, 12))])
    found = pixels(two, 12)
    assert found.shape == (2, 12, 12, 3) and (found[0] == 100).all()
    assert np.array_equal(found[1], photos.pixels("red", 0, 12))
