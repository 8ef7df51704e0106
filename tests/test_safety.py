"""Data and recipes run nothing, lead nowhere, and say no secrets: what a hostile pool, recipe, model, archive or URL can try.

Methods that an installed package registers as entry points are code by design: who installs a package runs it.
"""

from __future__ import annotations

import ast
import contextlib
import http.server
import json
import pickle
import re
import struct
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import ROOT, account_holds, assay, done, jsonl, line, manifest, quarantined, select, selected, told
from tests.report.browser import CHROMIUM, chromium

from assay import cli, expressions
from assay.errors import AssayError, InputError, RecipeError, masked
from assay.io import models, remote, store
from assay.io.secrets import VARIABLE, whole
from assay.recipe import parse
from assay.report import terminal

SOURCE = ROOT / "src" / "assay"
RANDOM = ("--method", "random", "--budget", "50%")
TEXTS = [f"row number {number} tells of {number * 7} rivers" for number in range(20)]


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that appears if anything in the test was executed."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "code from data ran"


class Payload:
    """What a pickle runs when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def pool(path: Path) -> Path:
    return jsonl(path, ({"id": f"r{number}", "text": text} for number, text in enumerate(TEXTS)))


# --- 1. Nothing is executed ---------------------------------------------------------------------------------------------

# Modules that are looked up by a name: method kinds and names are those of files in this package or of installed entry points,
# model kinds are the four of `io/models.py`, and modules of ours in `models/` are imported late because they need torch.
BY_NAME = {"__init__.py", "catalog.py", "io/models.py", "models/language.py", "verify/judge.py"}
MODULES = (
    "pickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "pty",
    "code",
    "codeop",
    "yaml",
    "dbm",
)


def test_the_source_holds_nothing_that_could_run_data() -> None:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found += [f"{name}:{getattr(node, 'lineno', 0)} {why}" for why in suspect(node, name)]
    assert not found, found


def suspect(node: ast.AST, name: str) -> Iterator[str]:
    """Why a piece of source could run data."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        named = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        if bad := [each for each in named if each.split(".")[0] in (*MODULES, "subprocess")]:
            yield f"imports {bad[0]}"
    if not isinstance(node, ast.Call):
        return
    called, words = dotted(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
    last = called.rpartition(".")[2]
    if called in ("eval", "exec", "compile", "__import__") or re.match(
        r"os\.(system|popen|exec|spawn|posix_spawn)", called
    ):
        yield called
    if last in ("import_module", "load_module", "exec_module", "run_path", "run_module") and name not in BY_NAME:
        yield f"{called}: who says which module?"
    if called in ("np.load", "numpy.load", "np.save") and words.get("allow_pickle") != "False":
        yield f"{called} without allow_pickle=False"
    if called == "torch.load" or last in (
        "read_pickle",
        "to_pickle",
        "unsafe_load",
        "full_load",
        "load_dataset_builder",
    ):
        yield called
    if (
        last in ("from_pretrained", "from_config")
        and words.get("trust_remote_code") != "False"
        and "_llama" not in ast.unparse(node)
    ):
        yield f"{called} without trust_remote_code=False"
    if called.endswith("AutoModelForCausalLM.from_pretrained") and words.get("use_safetensors") != "True":
        yield f"{called} without use_safetensors=True"
    if words.get("shell", "False") != "False" or words.get("allow_pickle", "False") != "False":
        yield called
    if last == "Environment" and words.get("autoescape") != "True":
        yield f"{called} without autoescape"


def dotted(node: ast.AST) -> str:
    """`np.load`, as far as it is written out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("source", ["eval(x)", "import pickle", "np.load(p)", "torch.load(p)", "os.system(c)", "f(shell=True)",
                                    "A.from_pretrained(p)", "Environment()", "importlib.import_module(n)"])  # fmt: skip
def test_the_search_would_find(source: str) -> None:
    assert [why for node in ast.walk(ast.parse(source)) for why in suspect(node, "x.py")]


def test_pages_leave_only_our_own_parts_unescaped() -> None:
    safe = [
        found
        for page in (SOURCE / "report/pages").glob("*.html")
        for found in re.findall(r"{{([^}]*)\|\s*safe", page.read_text())
    ]
    assert sorted(set(map(str.strip, safe))) == ["plots[name].narrow", "plots[name].wide", "script", "style"]


def test_objects_in_arrays_are_refused(tmp_path: Path, canary: Path) -> None:
    hostile = np.array([Payload(canary)] * 20, object)
    for name, write in (("a.npy", np.save), ("a.npz", lambda path, value: np.savez(path, value=value))):
        write(tmp_path / name, hostile)
        assert "must hold plain numbers" in select(tmp_path / name, *RANDOM, "--out", tmp_path / "out").sentence
        answer = select(pool(tmp_path / "p.jsonl"), "--scores", tmp_path / name, *RANDOM, "--out", tmp_path / "out2")
        assert "scores must be" in answer.sentence
        for read in (store.load, store.mapped, store.load_named):
            if (name, read) not in (("a.npz", store.mapped), ("a.npy", store.load_named)):
                with pytest.raises(AssayError, match="must hold arrays"):
                    read(tmp_path / name)


def test_a_changed_store_runs_nothing(tmp_path: Path, canary: Path) -> None:
    target = jsonl(tmp_path / "t.jsonl", ({"text": text} for text in TEXTS[:5]))
    done(
        pool(tmp_path / "p.jsonl"), "--target", target, "--method", "dsir", "--budget", "50%", "--out", tmp_path / "run"
    )
    arrays = [path for path in (tmp_path / "run").rglob("*.np[yz]")]
    assert arrays
    for path in arrays:
        with path.open("wb") as file:
            np.save(file, np.array([Payload(canary)] * 20, object), allow_pickle=True)
    assert "must hold arrays" in select(tmp_path / "run", "--budget", "2", "--out", tmp_path / "again").sentence


def test_pickled_types_in_tables_are_inert(tmp_path: Path, canary: Path) -> None:
    for name in (b"arrow.py_extension_type", b"pandas.pickled"):
        about = {b"ARROW:extension:name": name, b"ARROW:extension:metadata": pickle.dumps(Payload(canary))}
        fields = [pa.field("text", pa.string()), pa.field("extra", pa.int64(), metadata=about)]
        table = pa.table([TEXTS, list(range(20))], schema=pa.schema(fields, metadata={b"pandas": b"{}"}))
        pq.write_table(table, tmp_path / "p.parquet")
        with pa.ipc.new_file(tmp_path / "p.arrow", table.schema) as writer:
            writer.write_table(table)
        for path in ("p.parquet", "p.arrow"):
            out = tmp_path / f"{path}-{name.decode()}"
            done(tmp_path / path, *RANDOM, "--where", "bytes > 2", "--out", out)
            account_holds(out, 20)


EVIL = "open({!r}, 'w')\nclass Evil:\n    pass\n"


def proxy_folder(folder: Path, canary: Path, **config: Any) -> Path:
    """A tiny model's config with code beside it."""
    folder.mkdir()
    shape = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
             "vocab_size": 2048, "architectures": ["LlamaForCausalLM"]}  # fmt: skip
    (folder / "config.json").write_text(json.dumps({**shape, **config}))
    (folder / "evil.py").write_text(EVIL.format(str(canary)))
    return folder


def test_models_bring_no_code(tmp_path: Path, canary: Path) -> None:
    from assay.verify import neural

    remote_code = {
        "AutoConfig": "evil.Evil",
        "AutoModelForCausalLM": "evil.Evil",
        "AutoTokenizer": ["evil.Evil", "evil.Evil"],
    }
    pickled = proxy_folder(tmp_path / "pickled", canary)
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(canary)))
    with pytest.raises(InputError, match=r"pytorch_model.bin is a pickle.*save_pretrained"):
        neural.judge_of(str(pickled))
    disguised = proxy_folder(tmp_path / "disguised", canary)
    (disguised / "model.safetensors").write_bytes(pickle.dumps(Payload(canary)))
    with pytest.raises(InputError, match="tokenizer"):
        neural.judge_of(str(disguised))
    own = proxy_folder(tmp_path / "own", canary, model_type="evil", auto_map=remote_code)
    with pytest.raises(InputError, match="must be a folder"):
        neural.judge_of(str(own))
    kernel = proxy_folder(tmp_path / "kernel", canary, attn_implementation="evil/kernel")
    with pytest.raises(InputError, match="evil/kernel"):
        neural.judge_of(str(kernel))
    known = proxy_folder(tmp_path / "known", canary, auto_map=remote_code)
    (known / "tokenizer_config.json").write_text(json.dumps({"auto_map": remote_code, "tokenizer_class": "Evil"}))
    (known / "tokenizer.json").write_text(json.dumps({"model": {"type": "evil.Evil"}}))
    with contextlib.suppress(InputError):  # the library's own class, or a refusal: never the one of the folder
        assert neural.judge_of(str(known)).described()["parameters"] is None


CODE = (
    "__import__('os').system('touch {}')", "eval('1')", "().__class__.__mro__", "read_csv('/etc/passwd')",
    "bytes IN (SELECT a FROM read_csv('/etc/passwd'))", "(SELECT * FROM read_ndjson('http://127.0.0.1:9/x'))",
    "EXISTS (FROM read_parquet('/etc/passwd'))", "bytes > 1; DROP TABLE x", "bytes > 1 -- and more", "(TABLE x)", "(VALUES (1))",
    "lpad(source, 2000000000, 'x')", "bytes > " + "(" * 30_000 + "1" + ")" * 30_000, "SELECT 1", "scan_ipc('x')", "bytes \udcff",
    "COLUMNS('.*')", "re\\ad_csv('x')", "(/**/FROM x)", "zscore(read_csv('x'))", "bytes > '{{0.__class__}}'",
)  # fmt: skip


def test_expressions_compute_and_do_nothing_else(tmp_path: Path, canary: Path) -> None:
    signals = {"bytes": np.arange(3.0), "source": np.array(["a", "b", "c"], object)}
    for code in CODE:
        with pytest.raises(RecipeError):
            expressions.evaluate(code.format(canary), signals)
    assert expressions.evaluate("source = 'select (from) a--b; x'", signals).tolist() == [False] * 3
    rows = pool(tmp_path / "p.jsonl")
    for word in ("where", "rank"):
        step = {"where": f'{{ where = "{CODE[0].format(canary)}" }}, {{ select = "random", budget = "5" }}',
                "rank": f'{{ select = "top_k", budget = "5", rank = "{CODE[0].format(canary)}" }}'}[word]  # fmt: skip
        (tmp_path / "r.toml").write_text(f'pool = "{rows}"\nsteps = [{step}]\n')
        assert "cannot be read" in select(tmp_path / "r.toml", "--out", tmp_path / word).sentence


def test_recipes_name_methods_not_modules(canary: Path) -> None:
    last = {"select": "random", "budget": "5"}
    for name in ("os.system", "../../evil", "__init__", "_parts", "assay.cli", "random\x00", "", "annotate"):
        for step in (
            {"score": name},
            {"filter": name},
            {"group": name},
            {"edit": name},
            {"select": name, "budget": "5"},
        ):
            with pytest.raises(RecipeError, match="there is no"):
                parse({"pool": "p.jsonl", "steps": [step, last] if "select" not in step else [step]})
    for name in ("../../x", "a/b", "a\\b", "x\x00", "bytes", ""):
        with pytest.raises(RecipeError, match="must have a name"):
            parse({"pool": "p.jsonl", "target": "t", "steps": [{"score": "dsir", "as": name}, last]})


def table(tree: dict[str, Any]) -> str:
    """A step as TOML."""
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in tree.items()) + " }"


def test_templates_name_fields_and_reach_nothing_else(tmp_path: Path) -> None:
    rows = jsonl(tmp_path / "p.jsonl", ({"instruction": text, "output": "x"} for text in TEXTS))
    for template in ("{instruction.__class__.__mro__}", "{instruction[0].__class__}", "{0}", "{}", "{__class__}"):
        assert select(rows, "--text", template, *RANDOM, "--out", tmp_path / "out").code == 2
    done(rows, "--text", "{instruction!r:>{output}99999999999}", *RANDOM, "--out", tmp_path / "plain")
    assert manifest(tmp_path / "plain")["bytes"].to_list() == [len(text) for text in TEXTS]


def test_models_that_claim_more_than_they_hold_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    settings = [
        5,
        1,
        1,
        1,
        1,
        1,
        3,
        3,
        2,
        0,
        0,
        100,
    ]  # dim ws epoch minCount neg wordNgrams loss model bucket minn maxn rate
    head = struct.pack("<2i12id", 793712314, 12, *settings, 0.0)
    bombs = {
        "words.bin": head + struct.pack("<3i2q", 2**31 - 1, 2**31 - 2, 1, 1, -1) + b"x" * 100,
        "kept.bin": head + struct.pack("<3i2q", 1, 0, 1, 1, 2**60) + b"__label__a\0" + struct.pack("<qb", 1, 1),
        "rows.bin": head
        + struct.pack("<3i2q", 1, 0, 1, 1, -1)
        + b"__label__a\0"
        + struct.pack("<qbb2q", 1, 1, 0, 2**40, 2**20),
    }
    bombs["ngrams.bin"] = struct.pack(
        "<2i12id", 793712314, 12, *[2**30 if at == 5 else one for at, one in enumerate(settings)], 0.0
    )
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="must be a supervised fastText model"):
            models.load_model("fasttext", str(tmp_path / name))
    (tmp_path / "bomb.arpa").write_bytes(b"\\data\\\nngram 1=99999999999\nngram 2=999999999999\n\n\\1-grams:\n-1\ta\n")
    with pytest.raises(AssayError, match=r"claims 1,099,999,999,998 n-grams|needs the extra"):
        models.load_model("kenlm", str(tmp_path / "bomb.arpa"))
    for kind, content in (
        ("tokenizer", b'{"model": {"type": "BPE", "vocab": 1}}'),
        ("words", b"\xff\xfe"),
        ("words", b"# only\n"),
    ):
        (tmp_path / "bad").write_bytes(content)
        models.load_model.cache_clear()
        with pytest.raises(InputError):
            models.load_model(kind, str(tmp_path / "bad"))


def test_there_is_no_way_to_trust_remote_code(tmp_path: Path) -> None:
    for command in ("select", "clean", "verify", "arms", "rate", "board", "report", "mix"):
        answer = assay(command, "x", "--trust-remote-code")
        assert answer.code == 2 and "there is no option" in answer.sentence, command
    words = "\n".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    assert "trust-remote-code" not in words and not re.search(r"trust_remote_code\s*=\s*(?!False)", words)
    (tmp_path / "r.toml").write_text(
        'pool = "p"\ntrust_remote_code = true\nsteps = [{ select = "random", budget = "5" }]\n'
    )
    assert "no key 'trust_remote_code'" in select(tmp_path / "r.toml", "--out", tmp_path / "out").sentence


# --- 2. Nothing leads outside ---------------------------------------------------------------------------------------------


def test_links_out_of_a_folder_are_refused_and_links_within_are_read(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.mkdir()
    (outside / "id_rsa.txt").write_text("the private key")
    jsonl(outside / "rows.jsonl", [{"text": "the private rows"}])
    for name, target in (("notes", "id_rsa.txt"), ("rows", "rows.jsonl")):
        folder = tmp_path / name
        folder.mkdir()
        jsonl(folder / "a.jsonl", [{"text": text} for text in TEXTS]) if name == "rows" else (
            folder / "a.txt"
        ).write_text("a text")
        (folder / f"link-{target}").symlink_to(outside / target)
        (folder / "down").symlink_to(outside)  # folders behind links are not entered
        assert "leads out of the folder" in select(folder, *RANDOM, "--out", tmp_path / "out").sentence
        (folder / f"link-{target}").unlink()
        (folder / f"again-{target}").symlink_to(next(folder.glob("a.*")))
        done(folder, *RANDOM, "--out", tmp_path / f"out-{name}")
        assert b"private" not in selected(tmp_path / f"out-{name}")
    hub = tmp_path / "hub" / "snapshots" / "0ab1"
    hub.mkdir(parents=True)
    jsonl(tmp_path / "hub" / "blobs" / "77aa", [{"text": text} for text in TEXTS])
    (hub / "train.jsonl").symlink_to("../../blobs/77aa")
    done(hub, *RANDOM, "--out", tmp_path / "out-hub")


def test_a_saved_dataset_reads_and_writes_only_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data" / "set"
    datasets.disable_progress_bars()
    datasets.Dataset.from_list([{"text": text} for text in TEXTS]).save_to_disk(str(folder))
    secret = pa.table({"text": ["the private rows"] * 20})
    with pa.ipc.new_stream(tmp_path / "secret.arrow", secret.schema) as writer:
        writer.write_table(secret)
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"] = [{"filename": "../../secret.arrow"}, {"filename": "/etc/passwd"}]
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")  # names such as ../x must not become names of outputs
    for number, path in enumerate((folder, "..", "../data-00000-of-00001.arrow")):
        out = tmp_path / f"out{number}"
        done(path, *RANDOM, "--out", out)
        files = [file for file in (out / "selected").rglob("*") if file.is_file()]
        assert {file.parent for file in files} == {out / "selected" / "set"} and len(files) == 3
        assert len(datasets.load_from_disk(str(out / "selected" / "set"))) == 10
        assert all(b"private" not in file.read_bytes() and b"passwd" not in file.read_bytes() for file in files)


def test_archives_are_read_by_name_and_unpack_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("../../evil.jsonl", line({"text": "an evil row"}))
        archive.writestr("/abs/evil.jsonl", line({"text": "an absolute row"}))
        archive.writestr("in/good.jsonl", b"\n".join(line({"text": text}) for text in TEXTS))
    before = {path for path in tmp_path.parent.rglob("*.jsonl")}
    for number, name in enumerate(("in/*.jsonl", "in/good.jsonl", "../../evil.jsonl")):
        done(f"zip://{name}::a.zip", "--method", "random", "--budget", "1", "--out", f"out{number}")
        names = [str(path.relative_to(f"out{number}/selected")) for path in Path(f"out{number}/selected").rglob("*")]
        assert names == [Path(name).name.replace("*", "good")]
    assert {path for path in tmp_path.parent.rglob("*.jsonl")} - before == {
        path for path in tmp_path.glob("out*/*/*.jsonl") } | set(tmp_path.glob("out*/quarantine.jsonl"))  # fmt: skip


def test_names_in_data_are_no_paths(tmp_path: Path) -> None:
    names = ["../../../evil", "/etc/passwd", "..", "a/../../b", "\x00", "con", "-rf", "$(touch x)", "`id`", "%2e%2e/"]
    rows = [
        {"id": name, "source": name, "text": f"{text} {name!r}"} for name, text in zip(names * 2, TEXTS, strict=True)
    ]
    out = tmp_path / "in" / "out"
    done(jsonl(tmp_path / "in" / "p.jsonl", rows), "--method", "uniform_per_domain", *RANDOM[2:], "--out", out)
    assert assay(
        "arms", out, "--out", tmp_path / "in" / "arms", "--units", "1kB", "--write", "rows", "--arms", "choice,random"
    ).code in (0, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert {path.name for path in (tmp_path / "in").iterdir()} <= {"p.jsonl", "out", "arms"}


def test_a_changed_run_json_leads_nowhere(tmp_path: Path) -> None:
    target = jsonl(tmp_path / "t.jsonl", ({"text": text} for text in TEXTS[:5]))
    run = tmp_path / "deep" / "run"
    done(pool(tmp_path / "p.jsonl"), "--target", target, "--method", "dsir", "--budget", "50%", "--out", run)
    whole_account = told(run)
    for key, change in {
        "shards": [{**whole_account["shards"][0], "name": "../../../evil.jsonl"}],
        "signals": {"dsir": "../../../evil.npy"},
        "fits": {"../../../evil": {}},
    }.items():
        (run / "run.json").write_text(json.dumps({**whole_account, key: change}))
        assert "leads out of it" in select(run, "--budget", "2", "--out", tmp_path / "deep" / "again").sentence
    assert not list(tmp_path.rglob("evil*"))


# --- 3. Secrets are written nowhere -----------------------------------------------------------------------------------------

SECRET, RENEWED = "wJalrXUtnFEMI", "bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize("url", [
    "https://user:{}@host/a.jsonl", "https://{}@host/a.jsonl", "s3://AKIA7:{}/a+b@bucket/*.jsonl", "ftp://u:p@{}@host:21/a",
    "https://host/a.jsonl?X-Amz-Signature={}&X-Amz-Date=2026", "hf://datasets/a/b/x.jsonl?token={}", "https://host/a#access_token={}",
    "simplecache::https://u:{}@host/a?sig={}", "zip://*.jsonl::https://u:{}@host/a.zip", "HTTPS://host/a?TOKEN={}", "https://host/a?{}",
    "az://c/a?sp=r&sig={}%3D", "https://u:{}@[::1]:9000/a", "smb://D;u:{}@host/a", "https://host/a?b=1;key={}", "sftp://u:{}@h:22//abs",
])  # fmt: skip
def test_every_kind_of_secret_in_a_url_is_masked(url: str) -> None:
    hostile = url.replace("{}", SECRET)
    for text in (hostile, f"'{hostile}' cannot be read: 403, url={hostile!r}", f"a, {hostile}: b", f"<{hostile}>"):
        assert SECRET not in masked(text) and masked(masked(text)) == masked(text)
    assert SECRET not in str(InputError(f"{hostile!r} cannot be read"))


@pytest.mark.parametrize("text", [
    "hf://datasets/a/b@main/x.jsonl", "abfs://container@account.dfs.core.windows.net/x", "github://owner:repo@commit/x", "s3://b/a:b@c",
    "http://localhost:9000/data@v1.jsonl?versionId=3", "see https://a.com, or me@a.com: why?", "zip://in/*.jsonl::data/a.zip",
    "a=b?c=d",
])  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_masking_takes_no_time_on_hostile_text() -> None:
    for text in (
        "ab.+" * 50_000 + "://",
        "http://a?b=c" + ":" * 100_000 + "x",
        "h://x" + "?a" * 100_000,
        "http://u:p" + "/x" * 100_000,
    ):
        assert len(masked(text)) <= len(text) + 10


class Guarded(http.server.BaseHTTPRequestHandler):
    """Serves the files of a folder to who knows one of the secrets, whole or in parts."""

    folder: Path

    def do_HEAD(self) -> None:
        self.do_GET(only_head=True)

    def do_GET(self, only_head: bool = False) -> None:
        path = self.folder / self.path.partition("?")[0].strip("/")
        known = any(secret in self.path for secret in (SECRET, RENEWED))
        if not known or not path.is_file():
            self.send_error(404)
            return
        content, wanted = path.read_bytes(), re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), int(wanted[2] or len(content) - 1)) if wanted else (0, len(content) - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(content[first : last + 1])))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if not only_head:
            self.wfile.write(content[first : last + 1])

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server for the folder `served`."""
    (tmp_path / "served").mkdir()
    handler = type("Here", (Guarded,), {"folder": tmp_path / "served"})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def leaks(folder: Path, *secrets: str) -> list[str]:
    """Files that hold a secret, plain or in base64 or compressed Parquet, or have one in their names."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pylist()).encode()
        if any(secret.encode() in content or secret in str(path) for secret in secrets):
            found.append(str(path))
    return found


def test_secrets_of_urls_are_in_no_file_and_no_message(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, out = tmp_path / "served", tmp_path / "out"
    jsonl(served / "pool.jsonl.gz", [*({"text": text} for text in TEXTS), b"{broken", b'{"text": 3}'])
    jsonl(served / "target.jsonl", ({"text": text} for text in TEXTS[:5]))
    jsonl(served / "heldout.jsonl", ({"text": f"{text} and {number} lakes" * 9} for number, text in enumerate(TEXTS)))

    def url(name: str, secret: str = SECRET) -> str:
        return f"{server}/{name}?X-Amz-Signature={secret}&token={secret}"

    flags = ["--method", "dsir", "--budget", "50%", "--out", out / "run"]
    said = [done(url("pool.jsonl.gz"), "--target", url("target.jsonl"), *flags)]
    account = told(out / "run")
    assert account["shards"][0]["path"] == f"{server}/pool.jsonl.gz?X-Amz-Signature=***&token=***"
    assert [path.name for path in (out / "run/selected").iterdir()] == ["pool.jsonl.gz"]
    assert len(quarantined(out / "run")) == 2 and quarantined(out / "run")[0]["file"] == account["shards"][0]["path"]
    # A renewed signature names the same file: the run stands as it is.
    before = (out / "run/run.json").stat().st_mtime_ns
    said.append(done(url("pool.jsonl.gz", RENEWED), "--target", url("target.jsonl", RENEWED), *flags))
    assert (out / "run/run.json").stat().st_mtime_ns == before
    # Deciding again reads no text, but copies rows: that takes the whole URL again, which run.json does not know.
    said.append(select(out / "run", "--budget", "2", "--out", out / "again"))
    assert VARIABLE in said[-1].sentence
    monkeypatch.setenv(VARIABLE, f"{url('target.jsonl', RENEWED)} {url('pool.jsonl.gz', RENEWED)}")
    said.append(done(out / "run", "--budget", "2", "--out", out / "again"))
    assert len(selected(out / "again").splitlines()) == 2
    said += [assay("report", out / "run"), assay("why", out / "run", "3"), assay("why", out / "run", "20")]
    said.append(assay("verify", out / "run", "--eval", url("heldout.jsonl"), "--units", "1kB", "-q"))
    said += [
        select(url("pool.jsonl.gz"), *RANDOM, "--dry-run"),
        select(url("none.jsonl"), *RANDOM, "--out", out / "none"),
    ]
    said += [
        select(url("pool.odd"), *RANDOM, "--out", out / "odd"),
        select(f"odd://u:{SECRET}@host/x.jsonl", *RANDOM, "--out", out / "o"),
    ]
    said += [
        assay(
            "rate",
            tmp_path,
            "--prompt",
            "x",
            "--endpoint",
            f"http://u:{SECRET}@127.0.0.1:9/v1",
            "--model",
            "m",
            "--out",
            out / "r",
        )
    ]
    said += [assay("select", url("pool.jsonl.gz"), "--budgte", url("x"))]
    assert [answer.code for answer in said[:2] + said[3:8]] == [0] * 7, [answer.err for answer in said]
    assert said[-6].code == 0 and {answer.code for answer in said[-5:]} == {2}, [
        (answer.code, answer.err) for answer in said
    ]
    assert not leaks(out, SECRET, RENEWED)
    assert not [answer for answer in said if SECRET in answer.out + answer.err or RENEWED in answer.out + answer.err]


def test_a_fault_of_ours_shows_its_trace_without_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(path: str) -> None:
        raise ZeroDivisionError(f"while opening {path}\x1b[2J")

    monkeypatch.setattr(remote, "filesystem", broken)
    answer = select(f"s3://key:{SECRET}@bucket/a.jsonl", *RANDOM, "--out", tmp_path / "out")
    assert answer.code == 1 and "ZeroDivisionError" in answer.err and "s3://***@bucket/a.jsonl" in answer.err
    assert SECRET not in answer.err and "\x1b" not in answer.err


def test_a_url_is_opened_again_with_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [
        f"https://u:{SECRET}@host/a.jsonl",
        f"sftp://u:{SECRET}@host/data/*.jsonl",
        f"https://host/b.jsonl?day=1&sig={SECRET}",
    ]
    monkeypatch.setenv(VARIABLE, " ".join(given))
    assert [whole(masked(url)) for url in given] == given
    assert whole("sftp://***@host/data/b.jsonl") == f"sftp://u:{SECRET}@host/data/b.jsonl"
    assert whole("s3://bucket/**.jsonl") == "s3://bucket/**.jsonl"
    for other in (
        "sftp://***@hostile/data/b.jsonl",
        "https://host/c.jsonl?day=***&sig=***",
        "sftp://***@host.evil/data/x",
    ):
        with pytest.raises(InputError, match=VARIABLE):
            whole(other)


# --- 4. What is shown is text -----------------------------------------------------------------------------------------------

HOSTILE = (
    "<script>window.owned = 1; document.title = 'owned'</script></script><!-- --><img src=x onerror=\"window.owned = 2\">"
    "<svg onload=\"window.owned = 3\"> \"><img src='http://127.0.0.1:9/x'> ' onmouseover='window.owned = 4' {{ 7 * 7 }} {% raw %} "
    "javascript:window.owned=5 </style></title></textarea><iframe srcdoc='<script>parent.owned = 6</script>'> "
    '<a href="javascript:1">'
)
ESCAPES = "\x1b]0;owned\x07 \x1b[2J\x1b[31m \x9b31m \x1bP+q\x1b\\ \x08\x08 \u202e \r overwritten [bold red]markup[/] [link=file:///x]"
TASTES = " rivers lakes mountains " * 5


def hostile_pool(path: Path) -> Path:
    """Rows whose text, ids and sources try to break pages and terminals."""
    rows = [{"id": f"{number} {HOSTILE} {ESCAPES}", "source": f"{HOSTILE[number:]} {ESCAPES}",
             "text": f"{text} {HOSTILE} {ESCAPES}{TASTES}"}
            for number, text in enumerate(TEXTS)]  # fmt: skip
    return jsonl(path, [*rows, rows[0], b'{"text": "broken <script>window.owned = 7</script>'])


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_reports_show_hostile_text_and_run_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "<img src=x onerror=window.owned=8>{{7*7}}\x1b[31m"
    hostile_pool(tmp_path / f"{name}.jsonl")
    jsonl(tmp_path / f"eval{name}.jsonl", ({"text": shuffled(number)} for number in range(40)))
    recipe = {"pool": [f"{name}.jsonl"], "targets": [{"path": [f"eval{name}.jsonl"]}], "origin": {"name": HOSTILE, "about": HOSTILE,
              "sources": ["javascript:window.owned=9", f"https://x/{HOSTILE}"], "lacks": [HOSTILE]},
              "steps": [{"where": f"source != {sql(HOSTILE)}"}, {"group": "exact"}, {"score": "dsir"},
                        {"select": "top_k", "budget": "50%", "rank": "dsir"}]}  # fmt: skip
    steps = ", ".join(table(step) for step in recipe["steps"])
    origin = "\n".join(f"{key} = {json.dumps(value)}" for key, value in recipe["origin"].items())
    (tmp_path / "r.toml").write_text(
        f"pool = {json.dumps(recipe['pool'])}\nsteps = [{steps}]\ntargets = [{table(recipe['targets'][0])}]\n[origin]\n{origin}\n",
        "utf-8",
    )
    said = [
        done("r.toml", "--out", "run"),
        assay("verify", "run", "--eval", f"eval{name}.jsonl", "--units", "2kB", "-q"),
    ]
    said += [assay("report", "run"), *(assay("why", "run", row) for row in ("0", "20", "21"))]
    assert [answer.code for answer in said] == [0] * 6, [answer.err for answer in said]
    said += [select(f"no {name}", *RANDOM, "--out", "x"), assay("why", "run", name), assay("select", "p", f"--{name}")]
    for answer in said:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", answer.out + answer.err), answer
    with chromium() as tab:
        tab.open((tmp_path / "run" / "report.html").as_uri())
        untouched(tab, (tmp_path / "run" / "report.html").as_uri())
        assert tab.ask("document.body.innerText.includes('window.owned = 1')"), "the text itself is shown"


def shuffled(seed: int) -> str:
    """The hostile words in another order, so that held-out text repeats nothing of the pool."""
    return " ".join(np.random.default_rng(seed).choice([*HOSTILE.split(), *ESCAPES.split()], 40))


def sql(text: str) -> str:
    return "'" + text.replace("'", "''")[:40].rstrip("'") + "'"


def untouched(tab: Any, address: str) -> None:
    """Nothing ran, nothing was asked for, and no markup came out of the data."""
    assert tab.ask("window.owned === undefined && document.title.includes('Assay')")
    assert tab.complaints() == [] and [each for each in tab.requests() if not each.startswith("data:")] == [address]
    assert (
        tab.ask(
            "document.querySelectorAll('img, iframe, object, embed, form, textarea, [onload], [onerror], [onmouseover]').length"
        )
        == 0
    )
    assert tab.ask("[...document.links].every(link => ['https:', 'http:', 'file:'].includes(link.protocol))")
    assert (
        "script-src" in tab.ask("document.querySelector('meta[http-equiv]').content")
        or tab.ask("document.scripts.length") == 0
    )


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_board_shows_hostile_names_and_runs_none_of_them(tmp_path: Path) -> None:
    hostile_pool(tmp_path / "pool.jsonl")
    jsonl(tmp_path / "eval.jsonl", ({"text": shuffled(number)} for number in range(40)))
    quoted = json.dumps(f"{HOSTILE[:90]} {ESCAPES[:20]}")
    (tmp_path / "b.toml").write_text(
        f'title = {quoted}\nabout = {quoted}\nbudgets = ["30%bytes"]\nseeds = 3\n'
        f'[[pool]]\nname = {quoted}\npath = "{tmp_path}/pool.jsonl"\n'
        f'[[task]]\nname = {quoted}\npool = {quoted}\neval = "{tmp_path}/eval.jsonl"\nabout = {quoted}\n'
        f'[[method]]\nname = {quoted}\nabout = {quoted}\nmethod = "random"\nseed = 3\n'
        f'[[method]]\nname = "../../x <script>window.owned = 1</script>"\nmethod = "length"\n'
        f'[[method]]\nname = "fails"\nmethod = "random"\nwhere = ["absent > {HOSTILE.split()[0]}"]\n'
        f'[[proxy]]\nname = "ngram"\nunits = 2000\nrivals = []\n',
        "utf-8",
    )
    answer = assay("board", tmp_path / "b.toml", "--out", tmp_path / "in" / "board", "--workers", "1")
    assert "Traceback" not in answer.err and not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", answer.out + answer.err)
    assert answer.code == 1, "one method fails"
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"board"}
    page = tmp_path / "in" / "board" / "board.html"
    with chromium() as tab:
        tab.open(page.as_uri())
        untouched(tab, page.as_uri())
        assert tab.ask("document.body.innerText.includes('window.owned = 1')"), "the names themselves are shown"
        assert tab.ask("document.querySelectorAll('.matrix tbody tr').length") == 3


def test_only_wording_reaches_the_terminal() -> None:
    """What report/ prints goes through `visible` or `one_line`; rich takes no markup from it."""
    assert str(terminal._plain("[bold]x[/bold]")) == "[bold]x[/bold]"
    assert cli._say.__doc__ and "terminal" in cli._say.__doc__
