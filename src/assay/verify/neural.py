"""Neural proxies: causal language models as judges, in three sizes or whatever the transformers library can load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np

from assay.models import dialogue, packing, stream
from assay.models.language import Language, content, language_of, torch_module
from assay.types import Sequences, Texts
from assay.verify.arms import Trial
from assay.verify.judge import Bits, Course, Judge, Probe

_TRIALS = {
    "lm-nano": Trial(seeds=3, units=2_000_000, curve=8_000_000, reach=4),
    "lm-micro": Trial(seeds=3, units=2_000_000, curve=8_000_000, reach=4),
    "lm-mini": Trial(seeds=3, units=2_000_000, curve=4_000_000, reach=2),
}
_OTHER = Trial(seeds=3, units=2_000_000, curve=4_000_000, reach=2)


@final
@dataclass(frozen=True)
class CausalJudge(Judge):
    """A causal language model; `trial` are the protocol's numbers where a user gives no other."""

    features: ClassVar[tuple[str, ...]] = ("neural",)
    unit: ClassVar[Literal["bytes", "tokens"]] = "tokens"
    seeded: ClassVar[bool] = True
    nested: ClassVar[bool] = True
    name: str
    language: Language
    trial: Trial

    @property
    def step(self) -> int:
        """Tokens of one step: a row's times the rows."""
        return self.language.config.step

    @property
    def parallel(self) -> bool:
        """On a processor each trial has one thread, so there may be as many as processors; a GPU is used by one at a time."""
        return torch_module("causal_model").device() == "cpu"

    def encode(self, texts: Texts) -> Sequences:
        """Tokens, and the end of each document."""
        return self.language.encode(texts)

    def encode_turns(self, texts: Texts) -> Sequences:
        """The same of dialogues, of which only responses are learnt; in a checkpoint's own chat template, if it has one."""
        return self.language.encode_turns(texts)

    def measure(self, course: Course, probes: tuple[Probe, ...]) -> tuple[tuple[Bits, ...], ...]:
        """Train one trunk with a branch for each of the course's arms; total bits of every text by the model at its end."""
        asked = [self._asked(probe) for probe in probes]
        budgets = tuple(cost // self.step for cost in course.costs)
        with torch_module("causal_model").one_thread():
            models_ = torch_module("causal").train(
                self.language.config, partial(self._batches, course), budgets, course.seed, course.folder, course.report
            )
            return tuple(tuple(torch_module("causal_bits").bits(one, each) for each in asked) for one in models_)

    def _batches(self, course: Course) -> Iterator[stream.Batch]:
        make = stream.stream if course.form == "text" else packing.packed
        config = self.language.config
        return make(course.blocks(), config.context, config.rows, config.end)

    def _asked(self, probe: Probe) -> Sequences:
        """A probe as symbols: contexts only to be read, texts to be scored, with or without their ends."""
        if probe.form == "turns" and probe.contexts is not None:
            return dialogue.only_last(self.encode_turns(dialogue.joined(probe.contexts, probe.texts)))
        texts = self.language.encode(probe.texts, probe.ends)
        if probe.contexts is None:
            return texts
        contexts = self.language.encode(probe.contexts, ends=False)
        return _interleaved(Sequences(~contexts.data, contexts.offsets), texts)

    def described(self) -> dict[str, Any]:
        """Model, tokenizer and training, for the verdict; two judges that say the same measure the same."""
        config, tokenizer = self.language.config, self.language.tokenizer
        own = isinstance(config.model, str)
        place = torch_module("causal_model").device()
        return {
            **asdict(config),
            "parameters": None if isinstance(config.model, str) else config.model.parameters,
            "content": content(config.model) if isinstance(config.model, str) else None,
            "tokenizer": tokenizer if own else Path(tokenizer).name,
            "schedule": "warm-up, stable, linear decay to zero over the last fifth",
            "precision": "float32" if place == "cpu" else "bfloat16",
        }


def judge_of(name: str) -> CausalJudge:
    """The judge of that name: a size, a folder with a config of the transformers library (and weights, which are then trained
    on), or a hub id.

    Raises RecipeError for a name that is none of these, MissingExtra where the libraries are not installed.

    >>> judge_of("lm-nano").step
    2048
    """
    found = language_of(name)
    return CausalJudge(found.name, found, _TRIALS.get(name, _OTHER))


def _interleaved(contexts: Sequences, texts: Sequences) -> Sequences:
    """Each context followed by its text, as one document."""
    both = Sequences(
        np.concatenate([contexts.data, texts.data]),
        np.concatenate([contexts.offsets, contexts.offsets[-1] + texts.offsets[1:]]),
    )
    count = len(texts)
    taken = both.take(np.column_stack([np.arange(count), count + np.arange(count)]).ravel())
    return Sequences(taken.data, taken.offsets[::2])
