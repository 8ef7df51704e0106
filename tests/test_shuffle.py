"""The shuffle: records of one key meet, in order, whatever the layout, the memory and the number of workers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from on_disk import pool_of

from assay.io import spill
from assay.kernels.hashing import hash_rows
from assay.run import shuffle
from assay.run.local import Local
from assay.run.passes import Pool
from assay.run.shuffle import EmitJob, Shuffler, in_order
from assay.types import Batch, Texts

RECORD = np.dtype([("key", np.uint64), ("row", np.int64), ("size", np.int32)])
TEXTS = [f"text number {(number * 7919) % 701}" + " padding" * (number % 5) for number in range(3000)]


@dataclass(frozen=True)
class ByText:
    """Two records for every row: its text's hash, and that of its first twelve bytes."""

    salt: int = 0

    def __call__(self, batch: Batch) -> np.ndarray:
        records = np.zeros(2 * len(batch), RECORD)
        heads = Texts.of([text[:12] for text in batch.text])
        for start, texts in ((0, batch.text), (1, heads)):
            records["key"][start::2] = hash_rows(texts.data, texts.offsets) + np.uint64(self.salt + start)
            records["row"][start::2], records["size"][start::2] = batch.rows, batch.text.sizes
        return records


@dataclass(frozen=True)
class Pairs:
    """(key, first row, row, size) for every row after the first of its key; refuses what is out of order."""

    most: int = 1 << 62

    def __call__(self, records: np.ndarray) -> np.ndarray:
        keys, rows = records["key"], records["row"]
        assert ((keys[1:] > keys[:-1]) | ((keys[1:] == keys[:-1]) & (rows[1:] > rows[:-1]))).all()
        if len(records) > self.most:
            assert (keys == keys[0]).all(), "only a single key may be more than fits"
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        first = np.repeat(rows[starts], np.diff([*starts, len(keys)]))
        return np.stack([rows, first, records["size"].astype(np.int64)])[:, rows != first].T.copy()


def expected(texts: list[str]) -> set[tuple[int, int, int]]:
    members = defaultdict(list)
    for row, text in enumerate(texts):
        members["whole", text].append(row)
        members["head", text[:12]].append(row)
    return {(row, rows[0], len(texts[row])) for rows in members.values() for row in rows[1:]}


def written(*paths: Path) -> set[tuple[int, int]]:
    """Which files these are, wherever they were moved, and when they were written."""
    return {(path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def shuffled(pool: Pool, engine: Shuffler, most: int = 1 << 62) -> np.ndarray:
    return np.concatenate(list(engine.shuffle(pool, ByText(), Pairs(most))))


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_of_one_key_meet_whatever_the_memory_and_the_workers(tmp_path: Path, workers: int):
    answers = []
    with Local(workers) as local:
        for number, engine in enumerate((Shuffler(), Shuffler(100_000), Shuffler(40_000, fan=4))):
            pool = pool_of(tmp_path / str(number), TEXTS, local, files=1 + number)
            most = engine.memory // (6 * workers * RECORD.itemsize)
            answers.append(shuffled(pool, engine, most if number else 1 << 62))
            assert not list((tmp_path / str(number)).rglob("records-*")), "records lie on disk only in between"
    assert set(map(tuple, answers[0].tolist())) == expected(TEXTS)
    for other in answers[1:]:
        assert np.array_equal(other, answers[0]), "the order of the answer is that of the keys, however they were cut"


def test_a_second_run_reads_nothing(tmp_path: Path):
    with Local(1) as local:
        first = shuffled(pool_of(tmp_path / "pool", TEXTS, local), Shuffler())
        again = pool_of(tmp_path / "pool", TEXTS, local)
        again.count()
        assert np.array_equal(shuffled(again, Shuffler(5_000)), first)
        assert not again.stages, "no text was read"
        other = list(Shuffler().shuffle(again, ByText(salt=1), Pairs()))
        assert again.stages and len(np.concatenate(other)) == len(first)


def test_only_living_rows_are_shuffled(tmp_path: Path):
    with Local(1) as local:
        pool = pool_of(tmp_path / "pool", TEXTS, local)
        pool.count()
        mask = np.arange(len(TEXTS)) % 3 != 1
        found = shuffled(pool.among(mask), Shuffler())
        kept = np.flatnonzero(mask)
        assert {(row, first) for row, first, _ in found.tolist()} == {
            (int(kept[row]), int(kept[first])) for row, first, _ in expected([TEXTS[row] for row in kept])
        }
        nobody = pool.among(np.zeros(len(TEXTS), bool))
        assert list(Shuffler().shuffle(nobody, ByText(), Pairs())) == []


@dataclass(frozen=True)
class ByLabel:
    """One record for every row, under its label."""

    def __call__(self, batch: Batch) -> np.ndarray:
        records = np.zeros(len(batch), RECORD)
        records["key"], records["row"], records["size"] = batch.columns["label"], batch.rows, batch.text.sizes
        return records


def test_labels_reach_emit_and_rows_without_one_are_not_read(tmp_path: Path):
    with Local(1) as local:
        pool = pool_of(tmp_path / "pool", TEXTS, local)
        pool.count()
        labels = np.where(np.arange(len(TEXTS)) < 2000, np.arange(len(TEXTS)) % 7, -1)
        labels[0] = -1
        pool = pool.among(np.arange(len(TEXTS)) != 7)
        found = np.concatenate(list(Shuffler().shuffle(pool, ByLabel(), Pairs(), labels=labels)))
        rows = [row for row in range(1, 2000) if row != 7]
        firsts = {label: next(row for row in rows if row % 7 == label) for label in range(7)}
        wanted = {(row, firsts[row % 7], len(TEXTS[row])) for row in rows} - {
            (row, row, len(TEXTS[row])) for row in firsts.values()
        }
        assert set(map(tuple, found.tolist())) == wanted
        assert pool.stages[-2].bytes < sum(piece.stop - piece.start for piece in pool.pieces) * 0.75


def test_a_stopped_shuffle_redoes_only_what_was_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Local(1) as local:
        whole = shuffled(pool_of(tmp_path / "whole", TEXTS, local), Shuffler(20_000))
        done: list[Path] = []
        finish = EmitJob.finish

        def stop_at_the_fifth_piece(self, parts, rows, piece, path):
            if len(done) == 4:
                raise KeyboardInterrupt
            done.append(path)
            finish(self, parts, rows, piece, path)

        monkeypatch.setattr(EmitJob, "finish", stop_at_the_fifth_piece)
        with pytest.raises(KeyboardInterrupt):
            shuffled(pool_of(tmp_path / "cut", TEXTS, local), Shuffler(20_000))
        kept = written(*done)
        monkeypatch.setattr(EmitJob, "finish", finish)
        ranges: list[Path] = []
        reduce_range = shuffle.reduce_range

        def stop_at_the_third_range(task):
            if len(ranges) == 2:
                assert kept < written(*(tmp_path / "cut").rglob("*records-*"))
                raise KeyboardInterrupt
            ranges.append(task.out)
            return reduce_range(task)

        monkeypatch.setattr(shuffle, "reduce_range", stop_at_the_third_range)
        with pytest.raises(KeyboardInterrupt):
            shuffled(pool_of(tmp_path / "cut", TEXTS, local), Shuffler(20_000))
        times = written(*ranges)
        monkeypatch.setattr(shuffle, "reduce_range", reduce_range)
        assert np.array_equal(shuffled(pool_of(tmp_path / "cut", TEXTS, local), Shuffler(20_000)), whole)
        assert written(*ranges) == times


def test_what_a_piece_cannot_hold_is_spilled_and_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Local(1) as local:
        pool = pool_of(tmp_path / "whole", TEXTS, local, files=1, piece_bytes=1 << 30)
        whole = shuffled(pool, Shuffler())
        monkeypatch.setattr(shuffle, "_HELD", 2_000)
        monkeypatch.setattr("assay.io.lines.BLOCK", 5_000)
        pool = pool_of(tmp_path / "spilled", TEXTS, local, files=1, piece_bytes=1 << 30)
        spills: list[int] = []
        append = spill.append

        def counted(path: Path, records: np.ndarray) -> None:
            spills.append(len(records))
            append(path, records)

        monkeypatch.setattr(spill, "append", counted)
        assert np.array_equal(shuffled(pool, Shuffler()), whole)
        assert spills and not list(tmp_path.rglob("*.tmp-*"))


def test_records_are_in_order_of_key_then_row():
    rng = np.random.default_rng(1)
    records = np.zeros(5000, RECORD)
    records["key"], records["row"] = rng.integers(0, 50, 5000), rng.integers(0, 1000, 5000)
    records["size"] = np.arange(5000)
    order = in_order(records)
    assert order.tolist() == sorted(records.tolist(), key=lambda record: record[:2])
