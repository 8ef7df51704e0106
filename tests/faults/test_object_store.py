"""Pools and runs at URLs: the same bytes as on disk, whatever the road to the store does, and nothing lost by a kill."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
import zstandard
from command import COMMAND, assay, examples, jsonl, products, select, told
from object_store import BUCKET, Road, environment, one_in_five, server, whole_environment
from raylets import Raylets

import assay as package
from assay.errors import InputError
from assay.io import files, lease, mirror, remote

ROWS = 240


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    scratch = tmp_path_factory.mktemp("scratch")
    with server() as port, pytest.MonkeyPatch.context() as patch:
        way = Road(port)
        for name, value in environment(way.endpoint, str(scratch)).items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield way
        way.close()


@pytest.fixture(autouse=True)
def good(road: Road) -> None:
    road.clear()
    remote._kept.clear()  # nothing of other tests is at hand


def bucket() -> Any:
    """The store as anybody else sees it."""
    return fsspec.filesystem("s3", use_listings_cache=False)


def upload(folder: Path, url: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            bucket().put_file(str(path), f"{url.removeprefix('s3://')}/{path.relative_to(folder)}")


def download(url: str, folder: Path) -> Path:
    """A run at a URL as a folder, without its store."""
    inner = url.removeprefix("s3://")
    for name in bucket().find(inner):
        if "/store/" not in name:
            path = folder / name.removeprefix(f"{inner}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            bucket().get_file(name, str(path))
    return folder


def pool_of_files(folder: Path) -> Path:
    """One pool in four forms, with rows that cannot be read."""
    rows = [{"id": f"row-{number}", "text": row["text"]} for number, row in enumerate(examples()[:ROWS])]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"".join(lines[:60]) + b'{"text": 1\n')
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[60:120]) + b"\xff\xfe\n"))
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress(b"".join(lines[120:180])))
    pl.DataFrame(rows[180:]).write_parquet(folder / "d.parquet")
    return folder


@pytest.fixture(scope="module")
def run_on_disk(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool, a target and a run, here and at s3://bucket/in."""
    place = tmp_path_factory.mktemp("disk")
    pool_of_files(place / "in")
    jsonl(place / "target" / "target.jsonl", [{"text": row["text"]} for row in examples()[:20]])
    answer = select(
        place / "in", "--target", place / "target" / "target.jsonl", "--budget", "30%", "--out", place / "run"
    )
    assert answer.code == 0, answer.err
    upload(place / "in", "s3://bucket/in")
    upload(place / "target", "s3://bucket/target")
    return place


ASKED = ("s3://bucket/in", "--target", "s3://bucket/target/target.jsonl", "--budget", "30%")


def same_as_on_disk(url: str, disk: Path, folder: Path) -> None:
    """Every promised byte; the quarantine names its files by where they are."""
    here, there = dict(products(disk / "run")), dict(products(download(url, folder)))
    quarantined = there.pop("quarantine.jsonl").replace(b"s3://bucket/in", str(disk / "in").encode())
    assert quarantined == here.pop("quarantine.jsonl") and quarantined
    assert here == there
    assert told(disk / "run")["counts"] == told(folder)["counts"]


def test_a_run_at_a_url_is_the_run_on_disk_though_one_request_in_five_fails(
    road: Road, run_on_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)
    road.fault = one_in_five
    answer = select(*ASKED, "--out", "s3://bucket/first", "--store", "s3://bucket/signals")
    assert answer.code == 0, answer.err
    assert len(road.spoiled) >= 25 and {"500", "503", "reset", "half"} <= set(road.spoiled)
    road.clear()
    assert "s3://bucket/first" in answer.out.replace("\n", "") and "assay-mirror" not in answer.out
    same_as_on_disk("s3://bucket/first", run_on_disk, tmp_path / "first")
    assert told(tmp_path / "first")["store"] == "s3://bucket/signals" and not bucket().exists("bucket/first/.parts")

    road.clear()  # the same again stands; another budget decides anew, and reads no text
    assert select(*ASKED, "--out", "s3://bucket/first", "--store", "s3://bucket/signals").code == 0
    assert not [key for key in road.put() if ".lock" not in key and "recipe.json" not in key]
    road.clear()
    again = select("s3://bucket/first", "--budget", "10%", "--out", "s3://bucket/second", "--write", "ids")
    assert again.code == 0, again.err
    assert not [key for method, key in road.asked if method == "GET" and key.startswith("in/")]
    assert len(package.Run("s3://bucket/second").selected) == (ROWS + 2) // 10
    assert (
        package.Run("s3://bucket/first").upto("10%")["row"].to_list()
        == package.Run("s3://bucket/second").selected["row"].to_list()
    )
    assert assay("why", "s3://bucket/first", "0").code == 0
    shown = assay("report", "s3://bucket/first")
    assert shown.code == 0 and bucket().exists("bucket/first/report.html"), shown.err
    refused = select(*ASKED, "--seed", "1", "--out", "s3://bucket/first").sentence
    assert refused.startswith("s3://bucket/first holds a run of another recipe")


def test_a_cluster_reads_from_the_store_and_writes_to_it(road: Road, run_on_disk: Path, tmp_path: Path):
    with Raylets(2) as running:
        answer = assay("select", *ASKED, "--out", "s3://bucket/ray", "--address", running.address, "-q")
        assert answer.code == 0, answer.err
    same_as_on_disk("s3://bucket/ray", run_on_disk, tmp_path / "back")
    facts = told(tmp_path / "back")
    assert facts["engine"] == "ray"
    assert len({node for stage in facts["stages"] for node in stage.get("nodes", {})}) == 2


def test_a_store_that_stalls_ends_with_a_sentence_and_the_rerun_goes_on(
    road: Road, run_on_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    brief = {"config_kwargs": {"read_timeout": 0.3, "connect_timeout": 0.3, "retries": {"total_max_attempts": 1}}}
    monkeypatch.setitem(fsspec.config.conf, "s3", brief)
    monkeypatch.setattr(remote, "_PATIENCE", 0.5)
    monkeypatch.setattr(lease, "STALE", 0.0)
    road.fault = lambda number, method, key: "stall" if method == "GET" and key == "in/c.jsonl.zst" else None
    read = select(*ASKED, "--out", "s3://bucket/stalled").sentence
    assert "'s3://bucket/in/c.jsonl.zst' cannot be read" in read and "run the same command again" in read
    road.clear()
    road.fault = lambda number, method, key: "stall" if method == "PUT" and "/selected/" in key else None
    written = select(*ASKED, "--out", "s3://bucket/stalled").sentence
    assert "'s3://bucket/stalled/selected/" in written and "cannot be written" in written
    road.clear()
    answer = select(*ASKED, "--out", "s3://bucket/stalled")
    assert answer.code == 0, answer.err
    same_as_on_disk("s3://bucket/stalled", run_on_disk, tmp_path / "stalled")


@pytest.mark.parametrize("stage", ["score-"])
def test_killed_and_run_again_elsewhere_redoes_no_finished_piece(
    road: Road, run_on_disk: Path, tmp_path: Path, stage: str
):
    """The road holds back the third result of a stage; then the run is killed, and its scratch folder is another machine's."""
    out, seen = f"killed-{stage.strip('-./0')}", list[str]()
    here = threading.Event()

    def hold(number: int, method: str, key: str) -> str | None:
        written = method == "PUT" and key.startswith(out) and ".lock" not in key
        if written and stage in key and not seen.append(key) and len(set(seen)) > 2:
            here.set()
        return "stall" if here.is_set() and written else None

    road.fault = hold
    (tmp_path / "gone").mkdir()
    process = subprocess.Popen(
        [COMMAND, "select", *ASKED, "--out", f"s3://bucket/{out}", "-q", "--workers", "2"],
        env=whole_environment(road.endpoint, str(tmp_path / "gone")), start_new_session=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert here.wait(60), process.communicate()
    refused = select(*ASKED, "--out", f"s3://bucket/{out}").sentence
    assert refused.startswith(f"s3://bucket/{out} is being written by another run (process {process.pid}")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    road.clear()
    finished = {name.removeprefix("bucket/") for name in bucket().find(f"bucket/{out}")}
    finished = {
        name for name in finished if name.endswith((".npy", ".npz", ".arrow", ".parquet")) or "/.parts/0" in name
    }
    assert len([name for name in finished if stage in name]) >= 2
    road.clear()
    answer = select(*ASKED, "--out", f"s3://bucket/{out}")
    assert answer.code == 0, answer.err
    again = {key for key in road.put() if key.rpartition("/")[2] in {name.rpartition("/")[2] for name in finished}}
    assert not {key for key in again & finished if "/ledger/" not in key}
    same_as_on_disk(f"s3://bucket/{out}", run_on_disk, tmp_path / out)


def test_one_url_has_one_run_and_a_dead_lock_is_taken_over(
    road: Road, run_on_disk: Path, monkeypatch: pytest.MonkeyPatch
):
    lock = json.dumps({"token": "theirs", "machine": "elsewhere", "space": "another", "process": 7}).encode()
    bucket().pipe_file("bucket/held/.lock", lock)
    refused = select(*ASKED, "--out", "s3://bucket/held").sentence
    assert "s3://bucket/held is being written by another run (process 7 on elsewhere, last sign of life " in refused
    assert not [key for key in road.put() if key.startswith("held/") and ".lock" not in key]
    assert [name.rpartition("/")[2] for name in bucket().find("bucket/held")] == [".lock"]
    monkeypatch.setattr(lease, "STALE", 0.0)
    monkeypatch.setattr(lease, "BEAT", 0.05)
    with files.locked(mirror.folder("s3://bucket/held")):
        assert json.loads(bucket().cat_file("bucket/held/.lock"))["process"] == os.getpid()
        lost, deadline = lease._held["s3://bucket/held"], time.monotonic() + 30
        while not lost.wait(0.1) and time.monotonic() < deadline:
            bucket().pipe_file("bucket/held/.lock", lock)  # as the other would, again and again
        with pytest.raises(package.AssayError, match="was taken over by another run"):
            lease.refuse_lost("s3://bucket/held")
        lost.clear()
    assert not bucket().exists("bucket/held/.lock")


def test_an_object_that_changes_between_passes_or_while_it_is_read_is_refused_by_name(
    road: Road, run_on_disk: Path, monkeypatch: pytest.MonkeyPatch
):
    upload(run_on_disk / "in", "s3://bucket/moving")
    lines = (run_on_disk / "in" / "a.jsonl").read_bytes()

    def swap(number: int, method: str, key: str) -> str | None:
        if (
            method == "PUT"
            and "/part-" in key.replace(".part-", "/part-")
            and key.startswith("changed/")
            and not swapped
        ):
            swapped.append(key)
            threading.Thread(target=bucket().pipe_file, args=("bucket/moving/a.jsonl", lines[1:])).start()
        return None

    swapped: list[str] = []
    road.fault = swap
    refused = select("s3://bucket/moving", *ASKED[1:], "--out", "s3://bucket/changed").sentence
    assert "s3://bucket/moving/a.jsonl has changed since it was read" in refused and swapped
    assert not bucket().exists("bucket/changed/selected")
    road.clear()
    monkeypatch.setattr(remote, "PART", 1 << 12)
    remote._kept.clear()
    with files.open_read("s3://bucket/moving/b.jsonl.gz") as file:
        assert len(file.read(1000)) == 1000
        bucket().pipe_file("bucket/moving/b.jsonl.gz", b"other" * 10_000)
        with pytest.raises(InputError, match=r"b\.jsonl\.gz' has changed while it was read"):
            file.read(20_000)
    bucket().rm_file("bucket/moving/b.jsonl.gz")
    with pytest.raises(InputError, match=r"there is nothing at 's3://bucket/moving/b\.jsonl\.gz'"):
        package.read("s3://bucket/moving/b.jsonl.gz").head()


def test_what_a_url_cannot_be_is_said(road: Road):
    for place in (
        "https://host/run",
        "s3://key:word@bucket/run",
        "s3://bucket/run?versionId=1",
        "s3://",
        "s3://bucket/../run",
    ):
        sentence = assay("report", place).sentence
        assert sentence.startswith("a folder to write must") and "word" not in sentence
    assert "no run folder" in assay("report", "s3://bucket/none").sentence
    place = mirror.folder("s3://bucket/arms")
    with pytest.raises(package.AssayError, match="must be a folder of this machine; got s3://bucket/arms"):
        files.here(place, "--out of assay arms")
    assert mirror.told(f"{place}/rows is gone") == "s3://bucket/arms/rows is gone"
    assert mirror.told("/data/assay-mirror-x/s3/b") == "/data/assay-mirror-x/s3/b"
