"""datatrove's four filters over JSONL of {"text"}: what each decides on every document, and the words that it saw.

    python datatrove_rules.py IN.jsonl OUT.jsonl decisions        what each filter says
    python datatrove_rules.py IN.jsonl OUT.jsonl words            and the words and the sentences of each line
    python datatrove_rules.py IN.jsonl - FILTER,FILTER            only time those: prints bytes of text and seconds

Every line of OUT is {"gopher_quality": null or reason, …} and perhaps "words": [...], "sentences": [...].
"""

import json
import sys
import time

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters.c4_filters import CITATION_REGEX
from datatrove.utils.text import split_into_parts, split_into_sentences, split_into_words

FILTERS = {
    "gopher_quality": GopherQualityFilter(),
    "gopher_repetition": GopherRepetitionFilter(),
    "c4": C4QualityFilter(),
    "fineweb": FineWebQualityFilter(),
}


def decide(name: str, text: str) -> str | None:
    """The reason for which a filter drops a text, or None."""
    found = FILTERS[name].filter(Document(text=text, id="0"))
    return None if found is True else "dropped" if found is False else found[1]


def lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", newline="\n") as file:
        return [json.loads(line)["text"] for line in file]


def filled(text: str) -> list[str]:
    """Lines as C4's filter gives them to the sentence splitter."""
    return [CITATION_REGEX.sub("", line.strip()) for line in text.splitlines() if line.strip()]


def write(texts: list[str], out: str, words: bool) -> None:
    with open(out, "w", encoding="utf-8") as file:
        for text in texts:
            row = {name: decide(name, text) for name in FILTERS}
            if words:
                row["words"] = split_into_words(text)
                row["sentences"] = [len(split_into_sentences(line)) for line in filled(text)]
            file.write(json.dumps(row) + "\n")


def clock(texts: list[str], names: list[str]) -> None:
    """Seconds of the filters one after another on every text, as a pipeline runs them."""
    split_into_words("Warm up.")
    split_into_parts.cache_clear()
    start = time.perf_counter()
    for text in texts:
        for name in names:
            decide(name, text)
    seconds = time.perf_counter() - start
    print(json.dumps({"bytes": sum(len(text.encode()) for text in texts), "seconds": seconds, "texts": len(texts)}))


if __name__ == "__main__":
    if sys.argv[2] == "-":
        clock(lines(sys.argv[1]), sys.argv[3].split(","))
    else:
        write(lines(sys.argv[1]), sys.argv[2], sys.argv[3] == "words")
