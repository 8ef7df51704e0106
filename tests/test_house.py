"""The rules of the house (docs/architecture.md, 5), each mechanical one as a test over the syntax trees of src/assay.

A failure lists every offender as `file:line what`, so that the cure is clear. The limits on sizes are what well-liked
code bases of this field keep by themselves: functions of 26 to 32 code lines and modules of 277 to 318 at the 90th
percentile (measured in nanochat, optax, equinox, datatrove and httpx).
"""

from __future__ import annotations

import ast
import doctest
import functools
import importlib
import io
import json
import re
import subprocess
import sys
import tokenize
import tomllib
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import assay

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "assay"
KINDS = ("annotate", "filter", "score", "group", "select", "mix", "sample", "edit")
# Imports go from later to earlier, never the other way; the kinds of method share one place and never meet.
LAYERS = (
    ("errors",), ("types",), ("contracts",), ("kernels",), ("io",), ("models",), KINDS, ("run",), ("verify",),
    ("report",), ("catalog", "expressions", "general"), ("quotas", "steps"), ("recipe",), ("gallery",), ("flags",),
    ("decide",), ("state", "opening"), ("measure", "runs"), ("duplicates",), ("editing",), ("outputs",),
    ("account",), ("engine",), ("explain", "training", "sweep"), ("plan", "trial", "rate", "handout", "mixtures"),
    ("board", "mixing"), ("commands",), ("api",), ("sampling",), ("cli",), ("__init__", "__main__"),
)  # fmt: skip
PLACE = {name: place for place, names in enumerate(LAYERS) for name in names}

FILES = sorted(SOURCE.rglob("*.py"))
METHOD_FILES = [path for path in FILES if path.parent.name in KINDS and not path.name.startswith("_")]


# --- Reading the source -----------------------------------------------------------------------------------------------


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


@functools.cache
def code_lines(path: Path) -> frozenset[int]:
    """Line numbers that carry code: no blanks, comments or docstrings."""
    lines: set[int] = set()
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in nodes(path):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and has_docstring(node):
            lines.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return frozenset(lines)


def has_docstring(node: ast.AST) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def walk(*kinds: type, within: Callable[[Path], bool] = lambda path: True) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of some kinds in every file."""
    for path in filter(within, FILES):
        for node in nodes(path):
            if isinstance(node, kinds):
                yield path, node


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    return walk(ast.FunctionDef, ast.AsyncFunctionDef)


def area(path: Path) -> str:
    """The part of the house that a file belongs to: the folder, or the module itself."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def outside(*areas: str) -> Callable[[Path], bool]:
    return lambda path: area(path) not in areas


def imports(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Modules that a file imports, at its top or inside functions: (node, dotted name)."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "assay":
            yield from ((node, f"assay.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, "." * node.level + (node.module or "")


def called(node: ast.Call) -> str:
    """`open`, `path.read_text`, `np.load`: the dotted name of what is called, as far as it is written out."""
    parts, function = [], node.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    parts.append(function.id if isinstance(function, ast.Name) else "")
    return ".".join(reversed(parts))


def at(path: Path, node: ast.AST, what: str = "") -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)} {what}".rstrip()


def none_of(offenders: list[str], rule: str) -> None:
    assert not offenders, f"{rule}\n  " + "\n  ".join(offenders)


# --- Sizes ------------------------------------------------------------------------------------------------------------


def sizes_of_functions() -> dict[str, int]:
    return {
        at(path, node, node.name): len(code_lines(path).intersection(range(node.lineno, node.end_lineno + 1)))
        for path, node in functions()
    }


def test_functions_are_short():
    sizes = sizes_of_functions()
    none_of([f"{name}: {size}" for name, size in sizes.items() if size > 60], "A function has at most 60 code lines.")
    assert np.percentile(list(sizes.values()), 90) <= 30, "Nine functions in ten have at most 30 code lines."


def test_modules_are_short():
    sizes = {path: len(code_lines(path)) for path in FILES}
    none_of(
        [f"{at(path, tree(path))}: {size}" for path, size in sizes.items() if size > 400], "At most 400 code lines."
    )
    assert np.percentile(list(sizes.values()), 90) <= 300, "Nine modules in ten have at most 300 code lines."


def test_a_method_is_under_150_code_lines():
    none_of(
        [f"{at(path, tree(path))}: {len(code_lines(path))}" for path in METHOD_FILES if len(code_lines(path)) >= 150],
        "A method file has fewer than 150 code lines besides its docstrings.",
    )


# --- One way ----------------------------------------------------------------------------------------------------------


def test_every_module_has_a_place():
    none_of(
        sorted({at(path, tree(path)) for path in FILES if area(path) not in PLACE}),
        "Every folder and top module stands in LAYERS above; give the new one its place (and in docs/architecture.md).",
    )


def test_imports_go_one_way():
    offenders = []
    for path in FILES:
        for node, name in imports(path):
            if name.startswith("."):
                offenders.append(at(path, node, f"imports {name}: write the whole name"))
            elif name.startswith("assay.") and name != "assay.__version__":
                theirs, mine = name.split(".")[1], area(path)
                if theirs != mine and PLACE.get(theirs, 99) >= PLACE.get(mine, 99):
                    offenders.append(at(path, node, f"{mine} imports {theirs}"))
    none_of(offenders, "Imports go one way: " + " < ".join("/".join(names) for names in LAYERS))


def test_methods_never_import_each_other():
    offenders = []
    for path in METHOD_FILES:
        for node, name in imports(path):
            parts = name.split(".")
            if parts[0] == "assay" and parts[1] in KINDS and not parts[-1].startswith("_"):
                offenders.append(at(path, node, name))
    none_of(
        offenders, "A method is one file: it imports no other method (what several share lies in models/ or kernels/)."
    )


def test_no_import_cycles():
    names = {
        ".".join(("assay", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in FILES
    }
    graph = {
        name: {other for _, other in targets(path) if other in names and other != name} for name, path in names.items()
    }
    circles = sorted(name for name in graph if name in reached(graph, name))
    none_of(circles, "No module reaches itself through what it imports.")


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        if (name := ahead.pop()) not in seen:
            seen.add(name)
            ahead += graph[name]
    return seen


def targets(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """As `imports`, and `from assay.io import files` also names assay.io.files."""
    for node, name in imports(path):
        yield node, name
        if isinstance(node, ast.ImportFrom):
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def test_only_kernels_import_numba():
    offenders = [
        at(path, node, name)
        for path in filter(outside("kernels"), FILES)
        for node, name in imports(path)
        if name.split(".")[0] in ("numba", "llvmlite")
    ]
    none_of(offenders, "Only kernels/ imports numba.")


def test_kernels_import_nothing_else():
    standard = {"__future__", "math", "typing", "collections", "functools", "unicodedata"}  # the last: tables of characters
    allowed = {"numpy", "numba", "llvmlite", "jaxtyping", *standard}
    offenders = [
        at(path, node, name)
        for path in FILES
        if area(path) == "kernels"
        for node, name in imports(path)
        if name.split(".")[0] not in allowed and not name.startswith("assay.kernels")
    ]
    none_of(offenders, "A kernel knows arrays and nothing of the house: numpy, numba and other kernels only.")


def test_kernels_compile_once_and_do_not_depend_on_threads():
    offenders = []
    for path in (path for path in FILES if area(path) == "kernels"):
        plain = [n for n in nodes(path) if isinstance(n, ast.FunctionDef) and not is_compiled(n)]
        from_python = {called(call) for n in plain for call in ast.walk(n) if isinstance(call, ast.Call)}
        for node in (n for n in nodes(path) if isinstance(n, ast.FunctionDef) and is_compiled(n)):
            text = " ".join(map(ast.unparse, node.decorator_list))
            # What only other kernels call is compiled into them, and cached with them.
            entrance = not node.name.startswith("_") or node.name in from_python
            if entrance and not ("cache=True" in text and "nogil=True" in text):
                offenders.append(at(path, node, f"{node.name}: @{text} needs cache=True and nogil=True"))
            if "parallel=True" in text or "fastmath" in text:
                offenders.append(at(path, node, f"{node.name}: @{text} lets threads or the compiler change results"))
    none_of(offenders, "Kernels: cached, without the lock, and the same whatever the thread count.")


def is_compiled(node: ast.FunctionDef) -> bool:
    return any("njit" in ast.unparse(decorator) for decorator in node.decorator_list)


# --- Who may touch what -----------------------------------------------------------------------------------------------

OPENERS = {
    "open", "read_text", "write_text", "read_bytes", "write_bytes", "mkdir", "touch", "unlink", "rmdir", "symlink_to",
    "read_parquet", "scan_parquet", "write_parquet", "sink_parquet", "read_ndjson", "scan_ndjson", "write_ndjson",
    "sink_ndjson", "read_csv", "scan_csv", "write_csv", "read_json", "write_json", "read_ipc", "scan_ipc", "write_ipc",
    "read_table", "write_table", "ParquetFile", "ParquetWriter", "memmap", "fromfile", "tofile", "savez", "load_npz",
    "load_from_disk", "save_to_disk", "load_dataset", "save_file", "safe_open", "memory_map", "open_memmap",
}  # fmt: skip
OPENERS_BY_NAME = {
    f"{module}.{name}"
    for module, names in {
        "np": ("load", "save", "loadtxt", "savetxt", "genfromtxt"),
        "os": ("open", "remove", "rename", "replace", "makedirs", "listdir", "scandir", "walk", "link", "symlink"),
        "json": ("load", "dump"),
        "Path": ("open", "replace", "rename"),
    }.items()
    for name in names
}
FILE_LIBRARIES = {
    "fsspec", "shutil", "tempfile", "gzip", "bz2", "lzma", "zipfile", "tarfile", "glob", "zstandard", "mmap",
    "pyarrow.parquet",
}  # fmt: skip


def test_only_io_opens_files():
    offenders = [
        at(path, node, called(node))
        for path, node in walk(ast.Call, within=outside("io"))
        if called(node).split(".")[-1] in OPENERS or called(node) in OPENERS_BY_NAME
        if called(node).split(".")[0] not in from_io(path)
    ]
    offenders += [
        at(path, node, f"import {name}")
        for path in filter(outside("io"), FILES)
        for node, name in imports(path)
        if name in FILE_LIBRARIES
    ]
    none_of(offenders, "Only io/ opens, lists, moves or removes files; ask it for a reader or a writer.")


@functools.cache
def from_io(path: Path) -> frozenset[str]:
    """Names in a file that are modules or functions of io/: asking them is the right way."""
    found = [n for n in nodes(path) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("assay.io")]
    return frozenset(alias.asname or alias.name for node in found for alias in node.names)


def test_only_cli_and_report_print():
    offenders = [
        at(path, node, called(node))
        for path, node in walk(ast.Call, within=outside("cli", "report"))
        if called(node) in ("print", "pprint", "warnings.warn")
        or re.match(r"sys\.std(out|err)\.|logging\.|typer\.|click\.", called(node))
    ]
    offenders += [
        at(path, node, f"import {name}")
        for path in filter(outside("cli", "report"), FILES)
        for node, name in imports(path)
        if name.split(".")[0] in ("rich", "typer", "click", "logging", "tqdm")
    ]
    none_of(offenders, "Only cli.py and report/ print; the rest returns values.")


def test_only_models_train():
    offenders = [
        at(path, node, node.name)
        for path, node in functions()
        if area(path) not in ("models", "contracts") and node.name.split("_")[0] in ("train", "finetune")
    ]
    offenders += [
        at(path, node, called(node))
        for path, node in walk(ast.Call, within=outside("models"))
        if called(node).split(".")[-1] in ("backward", "zero_grad", "partial_fit", "fit_transform")
    ]
    none_of(offenders, "Only models/ trains.")


def test_nothing_unsafe_or_unrepeatable():
    banned = {"eval", "exec", "compile", "hash", "__import__"}
    offenders = [at(path, node, called(node)) for path, node in walk(ast.Call) if called(node) in banned]
    offenders += [
        at(path, node, called(node))
        for path, node in walk(ast.Call)
        if re.match(r"np\.random\.(?!default_rng|Generator|Philox|PCG64|SeedSequence)", called(node))
        or any(word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in node.keywords)
    ]
    offenders += [
        at(path, node, f"import {name}")
        for path in FILES
        for node, name in imports(path)
        if name.split(".")[0] in ("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "random", "secrets")
    ]
    none_of(
        offenders,
        "No code from data, no pickle, no global or hidden randomness (`hash` of a string differs per process).",
    )


# --- Shape of classes and functions -----------------------------------------------------------------------------------


def test_no_super_mixins_or_kwargs():
    offenders = [at(path, node, "super()") for path, node in walk(ast.Call) if called(node) == "super"]
    offenders += [
        at(path, node, f"**{node.args.kwarg.arg}")
        for path, node in walk(ast.FunctionDef, ast.Lambda)
        # An event of a trainer is told more by each version of the library that calls it.
        if node.args.kwarg and not (path.stem == "trainer_callback" and node.name.startswith("on_"))
    ]
    offenders += [at(path, node, node.name) for path, node in walk(ast.ClassDef) if "mixin" in node.name.lower()]
    none_of(offenders, "Abstract or final: no super(), no mixins, no **kwargs.")


def test_no_mutable_defaults():
    offenders = [
        at(path, default, ast.unparse(default))
        for path, node in walk(ast.FunctionDef, ast.Lambda)
        for default in [*node.args.defaults, *node.args.kw_defaults]
        if isinstance(default, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
        or (isinstance(default, ast.Call) and called(default) in ("list", "dict", "set", "bytearray"))
    ]
    none_of(offenders, "A default is immutable: use None, a tuple, or field(default_factory=...).")


def contract_names() -> set[str]:
    return {node.name for node in tree(SOURCE / "contracts.py").body if isinstance(node, ast.ClassDef)}


def test_classes_are_abstract_or_final():
    open_bases = contract_names() | {
        "ABC", "Protocol", "NamedTuple", "TypedDict", "Enum", "StrEnum", "IntEnum", "Generic", "Struct", "Mapping",
        "IterableDataset",  # torch knows a stream by this base alone
        "TrainerCallback",  # and the transformers library a callback
    }  # fmt: skip
    offenders = []
    for path, node in walk(ast.ClassDef):
        bases = [ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases]
        errors = any(base.endswith(("Error", "Exception")) for base in bases) or area(path) == "errors"
        final = any(ast.unparse(decorator).endswith("final") for decorator in node.decorator_list)
        abstract = node.name in abstract_classes() or area(path) == "contracts"
        if not (final or abstract or errors or set(bases) & {"Protocol", "NamedTuple", "TypedDict"}):
            offenders.append(at(path, node, f"{node.name}: decorate it with @final"))
        if not errors and not set(bases) <= open_bases | abstract_classes():
            offenders.append(at(path, node, f"{node.name}({', '.join(bases)}): inherits from something concrete"))
    none_of(offenders, "A class is abstract or final; a method is written once and never overridden.")


@functools.cache
def abstract_classes() -> frozenset[str]:
    return frozenset(node.name for _, node in walk(ast.ClassDef) if "@abstractmethod" in ast.unparse(node))


def test_everything_is_typed():
    offenders = []
    # What numba calls while it compiles takes numba's own types of arguments, in numba's own words.
    protocol = {inner for _, node in functions() if is_intrinsic(node) for inner in ast.walk(node)}
    for path, node in functions():
        if node in protocol:
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg]
        missing = [a.arg for a in arguments if a and not a.annotation and a.arg not in ("self", "cls")]
        # The compiler infers the types of a kernel, but a reader cannot: kernels are typed too.
        if missing or (node.returns is None and node.name != "__init__"):
            offenders.append(at(path, node, f"{node.name}: {', '.join(missing) or 'what it returns'}"))
    none_of(offenders, "Every argument and result has a type.")


def is_intrinsic(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator).startswith(("intrinsic", "overload")) for decorator in node.decorator_list)


def test_arrays_say_their_shapes():
    offenders = []
    for path, node in functions():
        if node.name.startswith("_") and not node.name.startswith("__"):
            continue
        annotations = [a.annotation for a in [*node.args.args, *node.args.kwonlyargs]] + [node.returns]
        if any(
            annotation is not None and ast.unparse(annotation) in ("np.ndarray", "numpy.ndarray")
            for annotation in annotations
        ):
            offenders.append(at(path, node, node.name))
    none_of(
        offenders, 'A public array says its shape: Float[np.ndarray, "n d"], or Shaped[np.ndarray, "n"] for any dtype.'
    )


def test_axis_names_come_from_the_glossary():
    # Indented lines `area   x meaning, y meaning`, where an area that is as before is left out.
    words = ast.get_docstring(tree(SOURCE / "types.py")).split("glossary for the whole house")[1]
    lines = [re.sub(r"^    \S.*?  +", "", line) for line in words.splitlines() if line.startswith("    ")]
    glossary = {entry.split()[0] for entry in ",".join(lines).split(",") if entry.strip()}
    offenders = []
    for path, node in walk(ast.Subscript):
        pair = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
        if (
            len(pair) == 2
            and ast.unparse(pair[0]) == "np.ndarray"
            and isinstance(pair[1], ast.Constant)
            and isinstance(pair[1].value, str)
        ):
            axes = [axis for axis in pair[1].value.split() if not re.fullmatch(r"\d+|\.\.\.|_|\*a", axis)]
            strange = {part for axis in axes for part in axis.split("_plus_") if not part.isdigit()} - glossary
            if strange:
                offenders.append(at(path, node, f"{pair[1].value!r}: {', '.join(sorted(strange))}"))
    none_of(offenders, f"Axis names come from one glossary (src/assay/types.py): {', '.join(sorted(glossary))}.")


# --- Methods ----------------------------------------------------------------------------------------------------------


def test_a_method_is_one_final_frozen_dataclass():
    offenders = []
    for path in METHOD_FILES:
        public = [n for n in tree(path).body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
        words = " ".join(ast.unparse(decorator) for node in public for decorator in node.decorator_list)
        if len(public) != 1:
            offenders.append(at(path, tree(path), f"{len(public)} public classes, must be one"))
        elif "final" not in words or "frozen=True" not in words:
            offenders.append(at(path, public[0], f"{public[0].name}: needs @final and @dataclass(frozen=True)"))
        elif not {ast.unparse(base) for base in public[0].bases} & contract_names():
            offenders.append(at(path, public[0], f"{public[0].name}: implements no contract"))
    none_of(offenders, "A method is one file with one final frozen dataclass that implements a contract.")


def test_methods_declare_what_they_need_and_their_paper():
    offenders = []
    for path in METHOD_FILES:
        declared = {
            ast.unparse(node.target): ast.unparse(node.value)
            for node in ast.walk(tree(path))
            if isinstance(node, ast.AnnAssign) and node.value is not None
        }
        made = {node.name for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)}
        if "needs" not in declared and "needs" not in made:  # a property, where a parameter names a column
            offenders.append(at(path, tree(path), "needs"))
        if not declared.get("paper", "").strip("'\"").startswith("https://"):
            offenders.append(at(path, tree(path), "paper (a link)"))
    none_of(offenders, "Every method declares `needs` and `paper`.")


def test_a_method_opens_like_an_essay():
    offenders = []
    for path in METHOD_FILES:
        essay = ast.get_docstring(tree(path)) or ""
        missing = [
            name
            for name, found in {
                "one sentence, then a blank line": re.match(r"[^\n]+[.:?]\n\n", essay),
                "a link": re.search(r"https?://", essay),
                "a year": re.search(r"\b(19|20)\d\d\b", essay),
            }.items()
            if not found
        ]
        if missing:
            offenders.append(at(path, tree(path), ", ".join(missing)))
    none_of(offenders, "A method's file opens with what it does, its formula, its guarantee and its source.")


def test_no_boolean_switches_an_algorithm():
    offenders = [
        at(path, node, ast.unparse(node))
        for path, node in walk(ast.AnnAssign, within=METHOD_FILES.__contains__)
        if ast.unparse(node.annotation) == "bool"
    ]
    none_of(
        offenders,
        "No boolean switches the algorithm of a method: name the choices with a Literal, or write two methods.",
    )


# --- Words ------------------------------------------------------------------------------------------------------------


def test_every_file_opens_with_a_sentence():
    offenders = [at(path, tree(path)) for path in FILES if not has_docstring(tree(path))]
    offenders += [
        at(path, tree(path), "from __future__ import annotations")
        for path in FILES
        if code_lines(path) and not any(name == "__future__" for _, name in imports(path))
    ]
    none_of(offenders, "A file opens with a docstring and `from __future__ import annotations`.")


def test_public_names_are_documented():
    offenders = []
    for path in FILES:
        for node, owner in public_definitions(tree(path)):
            if not has_docstring(node) and not (owner and inherits_words(path, owner, node.name)):
                offenders.append(at(path, node, f"{owner.name + '.' if owner else ''}{node.name}"))
    none_of(offenders, "Public classes and functions have a docstring (an implemented contract keeps the contract's).")


def public_definitions(module: ast.Module) -> Iterator[tuple[ast.AST, ast.ClassDef | None]]:
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node, None
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield inner, node


def inherits_words(path: Path, owner: ast.ClassDef, name: str) -> bool:
    """Whether an abstract class that it implements documents this function already."""
    bases = {ast.unparse(base) for base in owner.bases} & (contract_names() | abstract_classes())
    return any(
        isinstance(inner, ast.FunctionDef) and inner.name == name and has_docstring(inner)
        for _, node in walk(ast.ClassDef)
        if node.name in bases
        for inner in node.body
    )


def module_name(path: Path) -> str:
    return ".".join(("assay", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


WITH_EXAMPLES = [path for path in FILES if ">>>" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples_in_docstrings_run(path: Path):
    result = doctest.testmod(importlib.import_module(module_name(path)), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0 and result.attempted > 0


def test_methods_and_nouns_have_an_executed_example():
    offenders = [at(path, tree(path)) for path in [*METHOD_FILES, SOURCE / "types.py"] if path not in WITH_EXAMPLES]
    none_of(offenders, "A method's docstring holds one executed example.")


def test_nothing_is_left_undone():
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HACK)\b|NotImplemented" + r"Error")
    offenders = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if words.search(line)
    ]
    for path, node in functions():
        body = node.body[1:] if has_docstring(node) else node.body
        abstract = any("abstractmethod" in ast.unparse(decorator) for decorator in node.decorator_list)
        placeholders = [isinstance(line, ast.Pass) or ast.unparse(line) == "..." for line in body]
        if not abstract and body and all(placeholders):
            offenders.append(at(path, node, f"{node.name} is a stub"))
    none_of(offenders, "Nothing is left undone: no notes to self, no stubs.")


def test_errors_are_sentences_of_our_own_family():
    family = {node.name for node in tree(SOURCE / "errors.py").body if isinstance(node, ast.ClassDef)}
    # AttributeError is Python's own protocol for __getattr__; leaving the command is the command's business.
    # AssertionError is for what cannot happen. An exception of our own that is caught again is no message to anyone.
    caught = {
        name for _, node in walk(ast.ExceptHandler) if node.type for name in re.findall(r"\w+", ast.unparse(node.type))
    }
    own = {node.name for _, node in walk(ast.ClassDef)} & caught
    allowed = family | own | {"AttributeError", "typer.Exit", "SystemExit", "StopIteration", "AssertionError"}
    offenders, naming = [], []
    for path, node in walk(ast.Raise):
        if not isinstance(node.exc, ast.Call) or called(node.exc).startswith("_"):
            continue
        name = called(node.exc).removesuffix(".of")
        if name not in allowed:
            offenders.append(at(path, node, f"{name}: raise one of {', '.join(sorted(family))}"))
        if name in family - {"MissingExtra"} and node.exc.args:
            message = node.exc.args[0]
            naming.append(any(isinstance(part, ast.FormattedValue | ast.Name | ast.Call) for part in ast.walk(message)))
            words = "".join(
                p.value for p in ast.walk(message) if isinstance(p, ast.Constant) and isinstance(p.value, str)
            )
            if isinstance(message, ast.Constant | ast.JoinedStr) and len(words.split()) < 3:
                offenders.append(
                    at(path, node, f"{ast.unparse(message)}: say what, must be what, got what, what to do")
                )
    none_of(offenders, "Errors are sentences of the AssayError family.")
    assert np.mean(naming) >= 0.8, "Errors name the value that was wrong; too few of them do."


# --- The house as a whole ---------------------------------------------------------------------------------------------


def tracked_files() -> list[Path]:
    """Files that a clone would hold; without git, everything but what builds leave behind."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if listing.returncode == 0:
            return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]
    skipped = {".venv", "__pycache__", "build", "dist", ".git", ".pytest_cache", ".hypothesis", ".ruff_cache"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]


def test_no_name_is_undefined():
    """Ruff would say so, were it not for jaxtyping's shapes, which are strings that look like names: those are passed over."""
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "F821", "--output-format", "json", "--exit-zero",
         "src", "tests", "bench"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    offenders = []
    for found in json.loads(ran.stdout):
        path, row, column = Path(found["filename"]), found["location"]["row"], found["location"]["column"] - 1
        strings = (node for node in nodes(path) if isinstance(node, ast.Constant) and isinstance(node.value, str))
        spans = ((node.lineno, node.col_offset, node.end_lineno, node.end_col_offset) for node in strings)
        if not any(span[:2] <= (row, column) < span[2:] for span in spans):
            offenders.append(f"{path}:{row} {found['message']}")
    none_of(offenders, "Every name is defined somewhere.")


def test_every_extra_that_an_error_names_can_be_installed():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {
        ast.literal_eval(node.args[1])
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "MissingExtra.of"
    }
    assert named - set(told) == set()
    assert "models" in named


def test_no_path_of_a_machine():
    # Written in two parts, so that this file does not find itself.
    homes = re.compile(
        rb"(?<![\w.])/(?:"
        + b"|".join([rb"home/[a-z]", rb"Users/[A-Za-z]", rb"root/", rb"work/[a-z]", rb"mnt/[a-z]"])
        + rb")"
    )
    text = {
        ".py",
        ".md",
        ".toml",
        ".yml",
        ".yaml",
        ".json",
        ".txt",
        ".cfg",
        ".sh",
        ".html",
        ".css",
        ".js",
        "",
        ".ini",
        ".jsonl",
    }
    offenders = []
    for path in tracked_files():
        if path.suffix in text and path != Path(__file__):
            for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
                if found := homes.search(line):
                    offenders.append(f"{path.relative_to(ROOT)}:{number} {line[found.start() : found.start() + 60]!r}")
    none_of(offenders, "No file of the repository names a path of somebody's machine.")


def test_exports_are_sorted_and_complete():
    exported = list(assay.__all__)
    assert exported == sorted(exported), "assay.__all__ is sorted."
    missing = [name for name in exported if not hasattr(assay, name)]
    assert not missing, f"assay.__all__ names what is not there: {missing}"
    for name in exported:
        getattr(assay, name)
    public = {
        name
        for name, value in vars(assay).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
        if getattr(value, "__module__", "assay").startswith("assay")
    }
    assert public <= set(exported), f"public in assay but not exported: {sorted(public - set(exported))}"


def test_help_imports_nothing_heavy():
    heavy = ["numpy", "numba", "polars", "pyarrow", "scipy", "altair", "fsspec", "datasets", "pandas"]
    script = f"import sys, assay.cli; print(*[name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [], f"`assay --help` must answer at once, but assay.cli imports {result.stdout}"
