"""Finding shards: folders, globs, natural order, URLs, and one sentence for each mistake."""

from __future__ import annotations

import os
import pickle
from itertools import pairwise
from pathlib import Path

import fsspec
import pytest
from pools import texts_of

from assay.errors import InputError
from assay.io.fields import Fields, detect
from assay.io.files import atomic_write, read_json, write_json
from assay.io.sources import find, natural, plan

LINE = b'{"text": "a"}\n'


def names(paths: list[str]) -> list[str]:
    return [shard.name for shard in find(paths)]


def test_natural_order_whatever_the_order_given(tmp_path: Path) -> None:
    for k in (1, 2, 10):
        (tmp_path / f"file{k}.jsonl").write_bytes(LINE)
    wanted = ["file1.jsonl", "file2.jsonl", "file10.jsonl"]
    assert names([str(tmp_path)]) == wanted
    assert names([str(tmp_path / "file*.jsonl")]) == wanted
    assert names([str(tmp_path / f"file{k}.jsonl") for k in (10, 1, 2, 1)]) == wanted
    assert [shard.index for shard in find([str(tmp_path)])] == [0, 1, 2]
    assert natural("a") < natural("a1") < natural("a1b")


def test_folders_recursively_and_names_that_clash(tmp_path: Path) -> None:
    for folder in ("x", "y/z"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jsonl").write_bytes(LINE)
    (tmp_path / "README.md").write_text("not a row")
    (tmp_path / ".hidden.jsonl").write_bytes(LINE)
    assert names([str(tmp_path)]) == ["0-a.jsonl", "1-a.jsonl"]
    assert names([str(tmp_path / "**" / "*.jsonl")]) == ["0-a.jsonl", "1-a.jsonl"]


def test_plans_depend_on_files_and_pickle(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINE * 100)
    pieces = plan(find([str(tmp_path)]), 300)
    assert pieces[0].start == 0 and pieces[-1].stop == len(LINE) * 100
    assert all(a.stop == b.start for a, b in pairwise(pieces))
    assert pickle.loads(pickle.dumps(pieces)) == pieces and len(set(pieces)) == len(pieces)


def test_urls_through_fsspec() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/pool/b10.jsonl", LINE * 3)
    memory.pipe("/pool/b2.jsonl", b'{"text": "two"}\n')
    assert texts_of("memory://pool/b10.jsonl", piece_bytes=20) == ["a"] * 3
    assert texts_of("memory://pool/*.jsonl") == ["two", "a", "a", "a"]
    assert texts_of("memory://pool") == ["two", "a", "a", "a"]
    with pytest.raises(InputError, match="there is nothing at"):
        find(["memory://pool/none.jsonl"])
    with pytest.raises(InputError, match="cannot be opened"):
        find(["nosuch://pool/none.jsonl"])


def test_each_mistake_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "crawl.jsonl").write_bytes(LINE)
    with pytest.raises(InputError, match=r"there is no file or folder .*did you mean 'crawl.jsonl'"):
        find([str(tmp_path / "crawll.jsonl")])
    with pytest.raises(InputError, match="matches no file"):
        find([str(tmp_path / "*.parquet")])
    with pytest.raises(InputError, match="no input was named"):
        find([])
    (tmp_path / "a.xyz").write_bytes(LINE)
    with pytest.raises(InputError, match="suffix that says no format"):
        find([str(tmp_path / "a.xyz")])
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="the pool is empty"):
        find([str(tmp_path / "empty.jsonl")])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds nothing to read"):
        find([str(tmp_path / "nothing")])


@pytest.mark.parametrize(
    ("row", "text", "template", "id", "source"),
    [
        ('{"text": "a", "id": 1, "source": "web"}', "text", None, "id", "source"),
        ('{"content": "a", "_id": "x", "meta": {"source": "web"}}', "content", None, "_id", "meta.source"),
        ('{"instruction": "a", "input": "b", "output": "c"}', None, "{instruction}\n{input}\n{output}", None, None),
        ('{"prompt": "a", "completion": "b"}', None, "{prompt}\n{completion}", None, None),
        ('{"question": "a", "answer": "b", "domain": "x"}', None, "{question}\n{answer}", None, "domain"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "messages", None, None, None),
        ('{"conversations": [{"from": "human", "value": "a"}], "uuid": "u"}', "conversations", None, "uuid", None),
    ],
)
def test_fields_are_found(tmp_path: Path, row: str, text: str, template: str, id: str, source: str) -> None:
    (tmp_path / "a.jsonl").write_text("broken\n" + row + "\n")
    fields = detect(find([str(tmp_path)]), Fields())
    assert (fields.text, fields.template, fields.id, fields.source) == (text, template, id, source)


def test_fields_that_cannot_be_found_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"number": 1, "words": {"body": "x"}}\n')
    shards = find([str(tmp_path)])
    with pytest.raises(InputError, match="its fields are number, words"):
        detect(shards, Fields())
    with pytest.raises(InputError, match="did you mean 'words'"):
        detect(shards, Fields(text="word"))
    with pytest.raises(InputError, match="no field 'input'"):
        detect(shards, Fields(template="{words.body} {input}"))
    assert detect(shards, Fields(text="words.body")).text == "words.body"
    assert texts_of(str(tmp_path), Fields(template="<{words.body}>")) == ["<x>"]


def test_writes_are_whole_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "a.json")
    write_json(path, {"b": 1, "a": "é"})
    assert read_json(path) == {"b": 1, "a": "é"}
    with pytest.raises(ValueError), atomic_write(path) as file:
        file.write(b"half")
        raise ValueError
    assert read_json(path) == {"b": 1, "a": "é"} and os.listdir(tmp_path / "deep") == ["a.json"]
