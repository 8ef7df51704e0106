"""What the rules count, in plain Python: the twin of kernels/text_statistics.py, for tests and for finding causes.

    count(text)                    every column, with the words of `cut`
    count(text, words=[...])       the same with somebody else's words: if a decision changes, the cutter was the cause
    count(text, sentences=[...])   and with somebody else's number of sentences of each line that is not blank

`cut` is the cutter of words by regular expressions, from the same tables of characters as the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.kernels import text_classes as kinds
from assay.kernels.repetition import repeats_reference
from assay.kernels.text_statistics import COLUMNS

BITS = kinds.classes()
SPECIAL = kinds.special_words()
STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}
CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def is_a(character: str, bit: int) -> bool:
    """Whether a character has a bit."""
    point = ord(character)
    return point < kinds.SIZE and bool(int(BITS[point]) & bit)


def some(bit: int) -> str:
    """The characters of a bit as the inside of a regular expression's brackets."""
    return "".join(re.escape(chr(point)) for point in range(kinds.SIZE) if BITS[point] & bit)


_A, _L, _U, _Q = (some(bit) for bit in (kinds.LETTER, kinds.LOWER, kinds.UPPER, kinds.QUOTE))
_PREFIX = re.compile(rf"\.\.+|\+(?![0-9])|US\$|[CA]\$|[{some(kinds.PREFIX)}]")
_SUFFIX = re.compile(
    rf"(?:\.\.+|……|['’][sS]|(?<=[0-9])\+|(?<=[0-9])[{some(kinds.CURRENCY)}]"
    rf"|(?<=[0-9])(?:{'|'.join(map(re.escape, kinds.UNITS))})|[{some(kinds.SUFFIX)}]"
    rf"|(?<=[{some(kinds.STOPPABLE)}])\.|(?<=[{_U}][{_U}])\.|(?<=°[FCK])\.)\Z"
)
_INFIX = re.compile(
    rf"\.\.+|…|[{some(kinds.ICON)}]|(?<=[0-9])[+\-*^](?=[0-9-])|(?<=[{_L}{_Q}])\.(?=[{_U}{_Q}])|(?<=[{_A}]),(?=[{_A}])"
    rf"|(?<=[{_A}0-9])(?:-|–|—|--|---|——|~)(?=[{_A}])|(?<=[{_A}0-9])[:<>=/](?=[{_A}])"
)
_X = some(kinds.HOST)
_HOST = re.compile(rf"(?:(?:[{_X}][{_X}_-]*)?[{_X}]\.)+[{_L}]{{2,63}}(?::\d{{2,5}})?(?:[/?#]\S*)?\Z")
_SCHEME = re.compile(r"[\w+\-.]{2,}://")


def is_address(run: str) -> bool:
    """Whether a URL or an e-mail address."""
    starts = [0, *(place + 1 for place, sign in enumerate(run) if sign == "@" and place)]
    scheme = _SCHEME.match(run)
    return any(_HOST.match(run, start) for start in [*starts, *([scheme.end()] if scheme else [])])


def cut_run(run: str) -> list[str]:
    """The words of a run without white space."""
    if run in SPECIAL:
        return list(SPECIAL[run])
    front, back, rest, last = [], [], run, -1
    while rest and len(rest) != last and rest not in SPECIAL:
        last = len(rest)
        prefix = _PREFIX.match(rest)
        prefix = prefix[0] if prefix else ""
        if prefix and rest[len(prefix) :] in SPECIAL:
            front, rest = [*front, prefix], rest[len(prefix) :]
            break
        suffix = _SUFFIX.search(rest[len(prefix) :])
        suffix = suffix[0] if suffix else ""
        if suffix and rest[: -len(suffix)] in SPECIAL:
            back, rest = [suffix, *back], rest[: -len(suffix)]
            break
        front, back = front + [prefix] * bool(prefix), [suffix] * bool(suffix) + back
        rest = rest[len(prefix) : len(rest) - len(suffix)]
    return merged([*front, *cut_middle(rest), *back])


def cut_middle(rest: str) -> list[str]:
    """What is left between the affixes."""
    if not rest:
        return []
    if rest in SPECIAL:
        return list(SPECIAL[rest])
    if is_address(rest):
        return [rest]
    words, start = [], 0
    for match in _INFIX.finditer(rest):
        if match.start():
            words += [rest[start : match.start()]] * (match.start() > start) + [match[0]]
            start = match.end()
    return [*words, rest[start:]] if rest[start:] else words


def merged(words: list[str]) -> list[str]:
    """Neighbours that are one special word are put together."""
    found, at = [], 0
    while at < len(words):
        for last in range(min(at + 7, len(words)), at, -1):
            joined = "".join(words[at:last])
            if last == at + 1 or len(SPECIAL.get(joined, ())) == 1:
                found, at = [*found, joined], last
                break
    return found


def cut(text: str) -> list[str]:
    """The words of a text."""
    return [word for run in text.split() for word in cut_run(run)]


def count_sentences(line: str) -> int:
    """Sentences of a line; a gap of more than one space is a word of its own, which is no punctuation."""
    total, ended = 1, False
    runs = re.findall(r"\s+|\S+", line)
    for run in runs:
        words = [] if run == " " else [" "] if run.isspace() else cut_run(run)
        for word in words:
            ends = len(word) == 1 and is_a(word, kinds.SENTENCE)
            if ended and not ends and not all(is_a(character, kinds.MARK) for character in word):
                total, ended = total + 1, False
            ended = ended or ends
    return total


def fate(line: str, longest: int = 1000, fewest: int = 3) -> str:
    """What C4 makes of a stripped line: `kept`, `lorem`, `curly` or `removed`; with citations taken out."""
    words, edited = line.split(), CITATION.sub("", line)
    small = edited.lower()
    if any(len(word) > longest for word in words):
        return "removed"
    if not edited.endswith((".", "?", "!", '"', "'")) or edited.endswith("...") or len(words) < fewest:
        return "removed"
    if "lorem ipsum" in small:
        return "lorem"
    if "javascript" in small:
        return "removed"
    if "{" in edited:
        return "curly"
    return "removed" if any(phrase in small for phrase in POLICIES) else "kept"


def repeated(parts: list[str]) -> Iterator[str]:
    """Every part that an earlier one equals."""
    seen = set()
    for part in parts:
        if part in seen:
            yield part
        seen.add(part)


def count(text: str, words: list[str] | None = None, sentences: list[int] | None = None, short: int = 30) -> dict[str, int]:
    """All columns of one text."""
    words = cut(text) if words is None else words
    wordy = [word for word in words if not all(is_a(character, kinds.SYMBOL) for character in word)]
    runs, lines = text.split(), text.splitlines()
    stripped = [line.strip() for line in lines]
    paragraphs, breaks = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
    filled = [line for line in text.split("\n") if line.strip()]
    given = iter(sentences or [])
    fates = [(fate(line), next(given) if sentences else count_sentences(CITATION.sub("", line))) for line in stripped if line]
    copies = {name: list(repeated(parts)) for name, parts in (("p", paragraphs), ("l", breaks), ("f", filled))}
    values = [
        len(text), len(words), len(wordy), sum(map(len, wordy)), sum(any(map(str.isalpha, word)) for word in words),
        len(STOPS & set(words)), text.count("#"), text.count("...") + text.count("…"), len(lines),
        sum(line.startswith(("•", "-")) for line in stripped), sum(line.endswith(("...", "…")) for line in stripped),
        len(runs), sum(map(len, runs)), sum(any(map(str.isalpha, run)) for run in runs),
        len(paragraphs), len(copies["p"]), sum(map(len, copies["p"])), len(breaks), len(copies["l"]), sum(map(len, copies["l"])),
        *repeats_reference(words),
        sum(number for what, number in fates if what == "kept"),
        *(sum(what == page for what, _ in fates) for page in ("lorem", "curly")),
        sum("lorem ipsum" in line.lower() for line in lines), sum("{" in line for line in lines),
        len(filled), sum(is_a(line[-1], kinds.TERMINAL) for line in filled), sum(len(line) <= short for line in filled),
        sum(map(len, copies["f"])), text.count("\n"), len(text) - text.count("\n"),
    ]  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
