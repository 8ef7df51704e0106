"""The signal store: what is kept under which key, and that a later run takes it instead of reading."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import assay, done, examples, jsonl, manifest, products, told
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assay.errors import AssayError, RunError
from assay.io import files, store
from assay.io.sources import find, plan
from assay.types import Fitted, Texts

RANDOM = ("--method", "random", "--budget", "10%")


def bytes_read(run: Path, *stages: str) -> int:
    return sum(stage["bytes"] for stage in told(run)["stages"] if not stages or stage["stage"].split()[0] in stages)


def test_a_second_run_reads_nothing_that_the_first_has_read(tmp_path: Path):
    pool, target = jsonl(tmp_path / "pool.jsonl", examples()), jsonl(tmp_path / "target.jsonl", examples()[:20])
    shared = ("--store", tmp_path / "store")
    done(pool, *RANDOM, *shared, "--out", tmp_path / "first")
    assert bytes_read(tmp_path / "first") > 0
    done(pool, "--method", "length", "--budget", "5%", *shared, "--out", tmp_path / "second")
    assert bytes_read(tmp_path / "second") == 0
    done(pool, "--target", target, "--budget", "5%", *shared, "--out", tmp_path / "third")
    assert bytes_read(tmp_path / "third", "count") == 0 and bytes_read(tmp_path / "third", "score") > 0
    done(pool, "--target", target, "--budget", "9%", *shared, "--out", tmp_path / "fourth")
    assert bytes_read(tmp_path / "fourth") == 0
    done(pool, "--target", target, "--budget", "9%", "--out", tmp_path / "alone")
    assert products(tmp_path / "fourth") == products(tmp_path / "alone")


def test_another_parameter_target_or_filter_is_another_score(tmp_path: Path):
    pool, target = jsonl(tmp_path / "pool.jsonl", examples()), jsonl(tmp_path / "target.jsonl", examples()[:20])
    other = jsonl(tmp_path / "other.jsonl", examples()[20:40])
    seen = set()
    for number, words in enumerate(
        (
            ("--target", target),
            ("--target", other),
            ("--target", target, "--set", "dsir.n=1"),
            ("--target", target, "--limit", "400"),
        )
    ):
        done(pool, *words, "--budget", "5%", "--store", tmp_path / "store", "--out", tmp_path / str(number))
        seen.add(told(tmp_path / str(number))["signals"]["dsir"])
    assert len(seen) == 4


def _quietly(arguments: list[str]) -> None:
    assert assay(*arguments).code == 0


def test_runs_at_once_may_share_a_store(tmp_path: Path):
    target = jsonl(tmp_path / "target.jsonl", examples()[:20])
    for k in range(6):
        jsonl(tmp_path / f"pool/{k}.jsonl", ({**row, "text": f"{k} {row['text']}"} for row in examples()))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.engine", "command"])
    store = ["--store", str(tmp_path / "store")]
    shared = [str(tmp_path / "pool"), "--target", str(target), "-q", "--workers", "1", *store]
    processes = []
    for share in ("5%", "7%", "9%"):
        arguments = ["select", *shared, "--budget", share, "--out", str(tmp_path / share)]
        processes.append(context.Process(target=_quietly, args=(arguments,)))
        processes[-1].start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    done(tmp_path / "pool", "--target", target, "--budget", "9%", "--out", tmp_path / "alone")
    assert products(tmp_path / "9%") == products(tmp_path / "alone")


def test_a_copy_of_a_file_shares_its_signals(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", examples())
    done(pool, *RANDOM, "--store", tmp_path / "store", "--out", tmp_path / "first")
    copy = jsonl(tmp_path / "elsewhere/copy.jsonl", examples())
    done(copy, *RANDOM, "--store", tmp_path / "store", "--out", tmp_path / "second")
    assert len(list((tmp_path / "store/shards").iterdir())) == 1
    assert manifest(tmp_path / "first").drop("shard").equals(manifest(tmp_path / "second").drop("shard"))


def test_the_same_bytes_in_another_format_are_something_else(tmp_path: Path):
    content = "text\tid\na, b\t1\nlong, longer\t2\n"
    for suffix in ("tsv", "csv"):
        (tmp_path / f"pool.{suffix}").write_text(content)
    done(
        tmp_path / "pool.tsv",
        "--method",
        "length",
        "--budget",
        "1",
        "--text-field",
        "text",
        "--store",
        tmp_path / "store",
        "--out",
        tmp_path / "tsv",
    )
    assert manifest(tmp_path / "tsv")["bytes"].to_list() == [4, 12]
    keys = {store.content_digest(plan(find([str(tmp_path / f"pool.{suffix}")]))[0]) for suffix in ("tsv", "csv")}
    assert len(keys) == 2


def test_a_stat_key_changes_with_the_file_and_with_how_it_is_read(tmp_path: Path):
    path = jsonl(tmp_path / "pool.jsonl", examples()[:5])
    (shard,) = find([str(path)])
    before = store.stat_key(shard, "fields")
    assert before == store.stat_key(shard, "fields") != store.stat_key(shard, "others")
    jsonl(path, examples()[1:6])
    assert before != store.stat_key(shard, "fields")


def test_partial_results_move_to_their_content(tmp_path: Path):
    kept = store.Store(tmp_path)
    assert kept.folder("stat") == tmp_path / "partial/stat" and kept.content("stat") is None
    store.save(kept.folder("stat") / "000000.x.npy", np.arange(3))
    kept.finish("stat", "content")
    assert kept.content("stat") == "content" and not (tmp_path / "partial/stat").exists()
    assert store.load(kept.folder("stat") / "000000.x.npy").tolist() == [0, 1, 2]
    kept.finish("stat", "content")
    assert store.load(kept.folder("stat") / "000000.x.npy").tolist() == [0, 1, 2]


@given(arrays(st.sampled_from([np.float64, np.int64, np.uint8, bool]), st.integers(0, 20)))
def test_arrays_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray):
    folder = tmp_path_factory.mktemp("arrays")
    store.save(folder / "one.npy", array)
    store.save(folder / "two.npz", (array, array[::-1]))
    store.save_named(folder / "named.npz", {"a": array})
    back = store.load(folder / "one.npy")
    assert (
        isinstance(back, np.ndarray)
        and back.dtype == array.dtype
        and np.array_equal(back, array, equal_nan=array.dtype.kind == "f")
    )
    assert [part.tobytes() for part in store.load(folder / "two.npz")] == [array.tobytes(), array[::-1].tobytes()]
    assert store.load_named(folder / "named.npz")["a"].tobytes() == array.tobytes()


@given(
    st.lists(
        st.text(max_size=9).filter(lambda text: not any("\ud800" <= sign <= "\udfff" for sign in text)), max_size=9
    )
)
def test_tables_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, strings: list[str]):
    path = tmp_path_factory.mktemp("tables") / "t.arrow"
    store.save_table(
        path, {"id": Texts.of(strings), "n": np.arange(len(strings))}, {"rows": len(strings), "more": [1, None]}
    )
    table, facts = store.load_table(path)
    assert facts == {"rows": len(strings), "more": [1, None]}
    assert list(store.texts(table["id"])) == strings and table["n"].to_pylist() == list(range(len(strings)))


def test_no_pickle_is_read_from_disk(tmp_path: Path):
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "bad.npz", a=np.array([{"a": 1}], object))
    for read, name in ((store.load, "bad.npy"), (store.mapped, "bad.npy"), (store.load_named, "bad.npz")):
        with pytest.raises((ValueError, RunError), match=r"pickle|Python objects|Object arrays"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "one, two",
    [
        ({"w": np.zeros(3)}, {"w": np.zeros(4)}),
        ({"w": np.zeros(3)}, {"v": np.zeros(3)}),
        ({"w": np.zeros(2, np.int64)}, {"w": np.zeros(2, np.float64)}),
        ({"w": np.array([0.0])}, {"w": np.array([-0.0])}),
        ({"w": np.zeros((2, 3))}, {"w": np.zeros((3, 2))}),
    ],
)
def test_fits_that_differ_have_different_digests(one: dict[str, Any], two: dict[str, Any]):
    assert (
        store.fitted_digest(Fitted(one))
        == store.fitted_digest(Fitted(dict(one), {"note": 1}))
        != store.fitted_digest(Fitted(two))
    )


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "kept.json"
    files.write_json(str(path), {"old": True})
    with pytest.raises(RuntimeError, match="midway"), files.atomic_write(str(path)) as file:
        file.write(b"half")
        raise RuntimeError("midway")
    assert json.loads(path.read_bytes()) == {"old": True} and [entry.name for entry in tmp_path.iterdir()] == [
        "kept.json"
    ]
    with pytest.raises(AssayError, match="must hold JSON"):
        files.write_bytes(str(path), b"{")
        files.read_json(str(path))
