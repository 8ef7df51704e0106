"""What the user names, as shards and pieces: files, folders, globs, `save_to_disk` folders, URLs; in natural order.

    shard   one input file (or one folder of plain text files), in its format and compression
    piece   a unit of work: a byte range of an uncompressed JSONL file, a run of Parquet row groups, some of the files
            of a text folder, otherwise a whole file; it depends on the files alone, never on workers

A folder of plain text (documentation, source code) is a pool of files, one row each: the file's path inside the folder
is its id. A folder counts as plain text when it holds no data file, or ten times as many other files. A folder without data
files and with ten times as many pictures as text files is a pool of pictures (`io/pictures.py`), as is an archive of them.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import final

from assay.errors import InputError, suggest
from assay.io.albums import is_album, is_array, is_picture, labels_of
from assay.io.files import is_url, open_read, size_of
from assay.io.remote import bare, named

FORMATS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet", ".pq": "parquet", ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow", ".tar": "webdataset",
}  # fmt: skip
COMPRESSIONS = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
TEXT_SUFFIXES = frozenset(
    ".txt .text .md .markdown .rst .tex .adoc .org .log .html .htm .xml .xhtml .py .pyi .pyx .ipynb .c .h .cc .cpp "
    ".hpp .cs .go .rs "
    ".java .kt .js .mjs .ts .tsx .jsx .rb .pl .pm .php .sh .bash .lua .r .jl .m .sql .scala .swift .hs .ml .el "
    ".lisp .clj .toml "
    ".yaml .yml .ini .cfg .conf .css .scss .cmake .mk .diff .patch .po .srt .vtt .1 .3 .5 .7 .8".split()
)
BINARY_SUFFIXES = frozenset(
    ".pyc .pyo .so .o .a .dll .dylib .exe .bin .png .jpg .jpeg .gif .webp .bmp .ico .icns .tif .tiff .pdf .ps .eps "
    ".djvu .zip .tar "
    ".tgz .bz2 .xz .7z .whl .egg .jar .class .npy .npz .pkl .pickle .pt .pth .safetensors .onnx .h5 .hdf5 .feather "
    ".orc .avro .db "
    ".sqlite .woff .woff2 .ttf .otf .eot .mp3 .mp4 .wav .ogg .flac .avi .mov .mkv .mo .nbi .nbc .gmo .dat .inv".split()
)
_DIGITS = re.compile(r"(\d+)")


@final
@dataclass(frozen=True)
class Shard:
    """One input file. `name` is what its output is called; `files` lists a text folder's files, relative to `path`, each a row.

    Such files may hold pictures in place of text: each is one, or the first is an archive of them and the second their labels.
    """

    index: int
    path: str
    format: str
    compression: str
    size: int
    name: str
    files: tuple[str, ...] = field(default=(), repr=False)
    holds: str = "text"

    @property
    def album(self) -> bool:
        """Whether its rows are pictures of one archive."""
        return self.holds == "pictures" and is_album(self.files[0])

    def file(self, number: int) -> str:
        """The path of the file that holds a row, by the row's number among the files."""
        return os.path.join(self.path, self.files[0 if self.album else number])


@final
@dataclass(frozen=True)
class Piece:
    """Part of a shard: bytes of an uncompressed JSONL file, Parquet row groups, files of a text folder; or all."""

    shard: Shard
    number: int
    start: int
    stop: int


def natural(path: str) -> tuple[tuple[int, int | str], ...]:
    """The key that sorts file2 before file10.

    >>> sorted(["file10", "file2", "file1"], key=natural)
    ['file1', 'file2', 'file10']
    """
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in _DIGITS.split(path) if part)


def kind_of(path: str) -> tuple[str, str]:
    """(format, compression) that a file's name says; format "text" for plain text, "" where the suffix is unknown."""
    stem, suffix = os.path.splitext(bare(path).lower())
    compression = COMPRESSIONS.get(suffix, "")
    if compression:
        stem, suffix = os.path.splitext(stem)
    return FORMATS.get(suffix) or ("text" if suffix in TEXT_SUFFIXES else ""), compression


def find(paths: Sequence[str]) -> tuple[Shard, ...]:
    """All shards that the paths name, in natural order, each file once; InputError where there is nothing to read."""
    found: dict[tuple[str, str, str], Shard] = {}
    loose: list[str] = []
    for path in paths:
        for shard in _expand(os.fspath(path), loose):
            found.setdefault(_key(shard), shard)
    for shard in _loose_shards(loose):
        found[_key(shard)] = shard
    if not found:
        raise InputError(f"no input was named: got {list(paths)!r}; name files, folders, globs or URLs")
    ordered = sorted(found.values(), key=lambda shard: (natural(shard.path), shard.format, natural(_key(shard)[2])))
    _refuse_mixed(ordered)
    if not any(shard.size for shard in ordered):
        raise InputError(
            f"the pool is empty: there are no bytes in {', '.join(shard.path for shard in ordered[:3])}; "
            "name files with rows in them"
        )
    return tuple(_named(ordered))


def _key(shard: Shard) -> tuple[str, str, str]:
    """What tells a shard from others: its path and format, and of archives in one folder the file."""
    return shard.path, shard.format, shard.files[0] if shard.album else ""


def _refuse_mixed(shards: list[Shard]) -> None:
    """Pictures have labels and text has none: a method reads one or the other."""
    others = {shard.holds: shard for shard in shards}
    if len(others) > 1:
        text, pictures = others["text"].path, others["pictures"].file(0)
        raise InputError(f"a pool must hold text or pictures, not both; got {text!r} and {pictures!r}: select from each alone")


def _named(shards: list[Shard]) -> Iterator[Shard]:
    bases = [_base(shard) for shard in shards]
    for index, (shard, base) in enumerate(zip(shards, bases, strict=True)):
        name = base
        if bases.count(base) > 1:
            folder, _, last = base.rpartition("/")
            name = f"{folder}/{index}-{last}" if folder else f"{index}-{last}"
        yield replace(shard, index=index, name=name)


def _base(shard: Shard) -> str:
    path = bare(shard.path) if is_url(shard.path) else os.path.abspath(shard.path)  # with no .. that would lead out
    base = os.path.basename(path.rstrip("/")) or "text"
    if shard.holds == "pictures":  # pictures come out as an archive, arrays as arrays
        base = os.path.basename(shard.files[0]) if shard.album else base
        return os.path.splitext(base)[0] + ".npz" if is_array(base) else base.removesuffix(".zip") + ".zip"
    if shard.format == "arrow" and _is_saved(os.path.dirname(path)):
        above, parent = os.path.split(os.path.dirname(path))
        inner = os.path.isfile(os.path.join(above, "dataset_dict.json"))
        return f"{os.path.basename(above)}/{parent}/{base}" if inner else f"{parent}/{base}"
    return base


def _expand(path: str, loose: list[str]) -> Iterator[Shard]:
    if is_url(path):
        yield from _remote(path)
    elif os.path.isdir(path):
        yield from _folder(path)
    elif os.path.exists(path):
        yield from _file(path, loose)
    elif glob.has_magic(path):
        matches = sorted((name for name in glob.glob(path, recursive=True) if os.path.isfile(name)), key=natural)
        if not matches:
            raise InputError(
                f"the pattern {path!r} matches no file; check it, and quote it so that the shell leaves it alone"
            )
        for match in matches:
            yield from _file(match, loose)
    else:
        parent = os.path.dirname(path) or "."
        near = os.listdir(parent) if os.path.isdir(parent) else []
        hint = suggest(os.path.basename(path), near[:10_000])
        raise InputError(
            f"there is no file or folder {path!r}" + (f"; {hint}" if hint.startswith("did") else "; check the path")
        )


def _file(path: str, loose: list[str]) -> Iterator[Shard]:
    form, compression = kind_of(path)
    if form == "text" or is_picture(path):
        loose.append(path)
        return
    if is_album(path):
        yield _album(path)
        return
    if not form:
        known = " ".join(sorted(FORMATS))
        raise InputError(
            f"{path!r} has a suffix that says no format; it must be one of {known} (also with .gz or .zst), text such as .txt "
            ".md .py, or pictures: .png .jpg .zip .npz .npy; rename the file, or name its folder to read every file in it as text"
        )
    yield _shard(path, form, compression)


def _shard(path: str, form: str, compression: str, size: int | None = None) -> Shard:
    if form == "json" and not _is_array(path, compression):
        form = "jsonl"  # many a .json file holds JSON lines
    if compression and form in ("parquet", "arrow"):
        raise InputError(f"{path!r} is a compressed {form} file, which cannot be read in parts; decompress it first")
    return Shard(0, path, form, compression, size_of(path) if size is None else size, "")


def _is_array(path: str, compression: str) -> bool:
    from assay.io.streams import Unreadable, chunks

    try:
        for chunk in chunks(path, compression):
            head = chunk.removeprefix(b"\xef\xbb\xbf").lstrip()
            if head:
                return head.startswith(b"[")
    except Unreadable:
        pass
    return False


def _is_saved(folder: str) -> bool:
    """Whether a folder is one that `datasets.Dataset.save_to_disk` wrote."""
    return os.path.isfile(os.path.join(folder, "state.json")) and os.path.isfile(
        os.path.join(folder, "dataset_info.json")
    )


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            (name for name in folders if not name.startswith(".") and name != "__pycache__"), key=natural
        )
        if ".lock" in names and ("recipe.json" in names or "shards" in folders):
            folders.clear()  # a run folder or a store inside the pool is none of its rows
            continue
        if _is_saved(parent):
            names = [name for name in names if name.endswith(".arrow") and not name.startswith("cache-")]
        for name in sorted(names, key=natural):
            path = os.path.join(parent, name)
            if not name.startswith(".") and name != "dataset_dict.json" and os.path.isfile(path):
                _refuse_outside(path, folder)
                yield path


def _refuse_outside(path: str, folder: str) -> None:
    """Who names a folder names what is in it: a link may lead to another place of it, or of the same model hub's cache."""
    if not os.path.islink(path):
        return
    real, inside = os.path.realpath(path), os.path.realpath(folder)
    hub, _, rest = inside.partition(f"{os.sep}snapshots{os.sep}")
    places = (inside, *([os.path.join(hub, "blobs")] if rest else []))
    if not any(os.path.commonpath([real, place]) == place for place in places):
        raise InputError(
            f"{path!r} is a link that leads out of the folder {folder!r}, to {real!r}; remove it, or name the file itself "
            "if it belongs to the pool"
        )


def _folder(folder: str) -> Iterator[Shard]:
    paths = list(_walk(folder))
    if (albums := _albums(paths)) is not None:
        yield from map(_album, albums)
        return
    kinds = [kind_of(path) for path in paths]
    data = [(path, *kind) for path, kind in zip(paths, kinds, strict=True) if kind[0] not in ("", "text")]
    plain = [path for path in paths if kind_of(path)[0] in ("", "text") and not _is_binary(path)]
    pictures = [] if data else [os.path.relpath(path, folder) for path in paths if is_picture(path)]
    if pictures and len(pictures) >= 10 * len(plain):
        yield _listed(folder, sorted(pictures, key=natural), "pictures")
    elif data and len(plain) <= 10 * len(data):
        yield from (_shard(*item) for item in data)
    elif plain or data:
        names = sorted((os.path.relpath(path, folder) for path in paths if not _is_binary(path)), key=natural)
        yield _listed(folder, names)
    else:
        raise InputError(
            f"the folder {folder!r} holds nothing to read; it must hold JSONL, Parquet, CSV, JSON, Arrow or text files, or pictures"
        )


def _is_binary(path: str) -> bool:
    return os.path.splitext(path.lower())[1] in BINARY_SUFFIXES


def _albums(paths: list[str]) -> list[str] | None:
    """The archives of pictures among a folder's files, where there is nothing else to read but their labels; else None."""
    labels = {labels_of(path) for path in paths if is_album(path)}
    others = [path for path in paths if path not in labels]
    albums = [path for path in others if is_album(path)]
    return albums if albums and all(_is_binary(path) and not is_picture(path) for path in others) else None


def _album(path: str) -> Shard:
    """An archive or array of pictures, with the file of its labels if there is one."""
    labels = labels_of(path)
    names = [os.path.basename(one) for one in (path, labels) if one is not None]
    return _listed(os.path.dirname(os.path.abspath(path)), names, "pictures")


def _listed(folder: str, names: list[str], holds: str = "text") -> Shard:
    total = sum(os.stat(os.path.join(folder, name)).st_size for name in names)
    return Shard(0, folder.rstrip("/") or "/", "text", "", total, "", tuple(names), holds)


def _loose_shards(paths: list[str]) -> Iterator[Shard]:
    """Plain text files that were named one by one, as one shard, and pictures as another."""
    for holds in ("text", "pictures"):
        full = sorted({os.path.abspath(path) for path in paths if is_picture(path) == (holds == "pictures")}, key=natural)
        if full:
            folder = os.path.commonpath([os.path.dirname(path) for path in full])
            yield _listed(folder, [os.path.relpath(path, folder) for path in full], holds)


def _remote(url: str) -> Iterator[Shard]:
    try:
        listed = named(url)
    except FileNotFoundError:
        raise InputError(f"there is nothing at {url!r}; check the address and your access to it") from None
    names = list(listed) if url in listed or len(listed) == 1 else _rows_among(list(listed), url)
    if not names:
        raise InputError(f"{url!r} matches no file; check the address")
    for name in sorted(names, key=natural):
        form, compression = kind_of(name)
        if form in ("", "text"):
            raise InputError(
                f"{name!r} has a suffix that says no format; a remote file must be one of {' '.join(sorted(FORMATS))}"
            )
        yield _shard(name, form, compression, listed[name])


def _rows_among(names: list[str], url: str) -> list[str]:
    """Of the files that a folder or a pattern names: in a folder those with rows, without those of runs and stores inside it."""
    if glob.has_magic(url):
        return names
    parents = {(name.rpartition("/")[0], name.rpartition("/")[2]) for name in names}
    runs = {parent for parent, name in parents if name == "recipe.json"}
    runs &= {parent for parent, name in parents if name in (".lock", "pool.json", "run.json")} | {
        parent.rpartition("/store/")[0] for parent, _ in parents
    }
    stores = {parent.removesuffix("/seen") for parent, _ in parents if parent.endswith("/seen")}
    stores = {store for store in stores if any(parent.startswith(f"{store}/shards/") for parent, _ in parents)}
    beside = tuple(f"{place}/" for place in runs | stores)
    kept = [name for name in names if not name.startswith(beside) and not name.rpartition("/")[2].startswith(".")]
    return [name for name in kept if kind_of(name)[0] not in ("", "text")]


def plan(shards: Sequence[Shard], piece_bytes: int = 16 << 20) -> tuple[Piece, ...]:
    """Cut shards into pieces of about `piece_bytes`; a compressed file stays whole. Numbers count within a shard."""
    return tuple(piece for shard in shards for piece in _pieces(shard, piece_bytes))


def _pieces(shard: Shard, piece_bytes: int) -> Iterator[Piece]:
    weights: list[int] = []
    if shard.format == "jsonl" and not shard.compression:
        count = max(1, -(-shard.size // piece_bytes))
        cuts = [shard.size * k // count for k in range(count + 1)]
    elif shard.format == "parquet":
        weights = _row_group_sizes(shard)
        cuts = _runs(weights, piece_bytes)
    elif shard.album:
        cuts = [0, len(shard.files)]
    elif shard.format == "text":
        weights = [os.stat(os.path.join(shard.path, name)).st_size for name in shard.files]
        cuts = _runs(weights, piece_bytes)
    else:
        cuts = [0, shard.size]
    for number, (start, stop) in enumerate(pairwise(cuts)):
        yield Piece(shard, number, start, stop)


def _row_group_sizes(shard: Shard) -> list[int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_read(shard.path) as file:
            meta = pq.ParquetFile(file).metadata
            groups = [meta.row_group(group) for group in range(meta.num_row_groups)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{shard.path!r} must be a Parquet file; {error}") from None
    if (held := sum(group.num_rows for group in groups)) != meta.num_rows:
        raise InputError(
            f"{shard.path!r} must be a whole Parquet file; it says {meta.num_rows:,} rows, and its parts {held:,}: write it anew"
        )
    return [group.total_byte_size for group in groups]


def _runs(weights: list[int], most: int) -> list[int]:
    """Cuts of 0..len(weights) into runs that end once they reach `most`."""
    cuts, total = [0], 0
    for position, weight in enumerate(weights):
        total += weight
        if total >= most:
            cuts.append(position + 1)
            total = 0
    return cuts if cuts[-1] == len(weights) and weights else [*cuts, len(weights)]
