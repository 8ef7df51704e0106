"""Listed words: how many words and phrases of a list that the user gives stand in a document.

    listed_words(d) = number of places in d with a listed phrase, places that overlap counted once
    listed_share(d) = listed_words(d) / words of d

Only whole words count, whatever their case: with `ass` on the list, `ASS!` is found and `class` is not. Punctuation in a
listed phrase must stand in the text, white space may be any. No list ships with Assay: what belongs on one differs with
language and use, and the best known one (LDNOOBW, which C4 used) also drops text about minorities (Dodge et al. 2021).

Guarantee: exact; row-wise. Endings are not known (`darns` is another word than `darn`), nor other Unicode forms of a letter.
Source: Raffel et al., Exploring the limits of transfer learning, 2019, https://arxiv.org/abs/1910.10683, 2.2; what it costs:
Dodge et al., Documenting large webtext corpora, 2021, https://arxiv.org/abs/2104.08758.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from assay.contracts import Annotator
from assay.errors import RecipeError
from assay.kernels.word_lists import characters, find_phrases, share
from assay.types import Batch, Column, Texts


@final
@dataclass(frozen=True)
class WordList(Annotator):
    """Counts listed words; `words` is the path of the list, a word or phrase on each line, # before a comment.

    >>> WordList("bad.txt").models
    {'words': 'bad.txt'}
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/1910.10683"

    words: str = "words.txt"

    def __post_init__(self) -> None:
        if not self.words:
            raise RecipeError(f"word_list: words must name the file that lists them; got {self.words!r}")

    @property
    def models(self) -> dict[str, str]:
        """The list, by its path."""
        return {"words": self.words}

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """Columns `listed_words` (b,) of whole numbers, `listed_share` (b,), NaN without a word, and `listed`, which names
        the first phrase found ("" where there is none)."""
        listed, text = models["words"], batch.text
        tables = (characters(), listed.hashes, listed.sieve, listed.longest)
        counts, words, first = find_phrases(text.data, text.offsets, *tables)
        names = [f"listed word {listed.entries[place]!r}" if place >= 0 else "" for place in first.tolist()]
        return {"listed_words": counts, "listed_share": share(counts, words), "listed": Texts.of(names)}
