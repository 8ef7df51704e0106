"""Neural proxies: causal language models as judges, in three sizes or whatever the transformers library can load."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, final

import numpy as np

from assay.errors import InputError, MissingExtra, RecipeError, suggest
from assay.io import models, store
from assay.models import dialogue, packing, stream
from assay.models.causal_config import SIZES, CausalConfig
from assay.types import Sequences, Texts
from assay.verify.arms import Trial
from assay.verify.judge import Bits, Course, Judge, Probe

_TOKENIZER = "tokenizer-2048.json"
_TRIALS = {
    "lm-nano": Trial(seeds=3, units=2_000_000, curve=8_000_000, reach=4),
    "lm-micro": Trial(seeds=3, units=2_000_000, curve=8_000_000, reach=4),
    "lm-mini": Trial(seeds=3, units=2_000_000, curve=4_000_000, reach=2),
}
_OTHER = Trial(seeds=3, units=2_000_000, curve=4_000_000, reach=2)
_CONTEXT = 512  # tokens at most of somebody else's model
_FRESH, _CONTINUED = 1e-3, 2e-4  # peak rates of somebody else's model, untrained or trained
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")


@final
@dataclass(frozen=True)
class CausalJudge(Judge):
    """A causal language model; `tokenizer` is the file of one for the tokenizers library, or where the transformers library
    finds one; `trial` the protocol's numbers where a user gives no other."""

    features: ClassVar[tuple[str, ...]] = ("neural",)
    unit: ClassVar[Literal["bytes", "tokens"]] = "tokens"
    seeded: ClassVar[bool] = True
    nested: ClassVar[bool] = True
    name: str
    config: CausalConfig
    tokenizer: str
    trial: Trial

    @property
    def step(self) -> int:
        """Tokens of one step: a row's times the rows."""
        return self.config.step

    @property
    def parallel(self) -> bool:
        """On a processor each trial has one thread, so there may be as many as processors; a GPU is used by one at a time."""
        return _causal("causal_model").device() == "cpu"

    def encode(self, texts: Texts) -> Sequences:
        """Tokens, and the end of each document."""
        return self._encoded(texts, np.array([self.config.end], np.int32))

    def encode_turns(self, texts: Texts) -> Sequences:
        """The same of dialogues, of which only responses are learnt; in a checkpoint's own chat template, if it has one."""
        own = _own_tokenizer(self.tokenizer)
        if own is not None and own.chat_template:
            return dialogue.templated(texts, own)
        return dialogue.encoded(texts, partial(self._encoded, ending=np.zeros(0, np.int32)), self.config.end)

    def _encoded(self, texts: Texts, ending: np.ndarray) -> Sequences:
        found = _tokenizer(self.tokenizer).encode_batch_fast(list(texts), add_special_tokens=False)
        pieces = [np.concatenate([np.array(one.ids, np.int32), ending]) for one in found]
        sizes = np.array([0, *map(len, pieces)], np.int64)
        return Sequences(np.concatenate([np.zeros(0, np.int32), *pieces]), np.cumsum(sizes))

    def measure(self, course: Course, probes: tuple[Probe, ...]) -> tuple[tuple[Bits, ...], ...]:
        """Train one trunk with a branch for each of the course's arms; total bits of every text by the model at its end."""
        asked = [self._asked(probe) for probe in probes]
        budgets = tuple(cost // self.step for cost in course.costs)
        with _causal("causal_model").one_thread():
            models_ = _causal("causal").train(
                self.config, partial(self._batches, course), budgets, course.seed, course.folder, course.report
            )
            return tuple(tuple(_causal("causal_bits").bits(one, each) for each in asked) for one in models_)

    def _batches(self, course: Course) -> Iterator[stream.Batch]:
        make = stream.stream if course.form == "text" else packing.packed
        return make(course.blocks(), self.config.context, self.config.rows, self.config.end)

    def _asked(self, probe: Probe) -> Sequences:
        """A probe as symbols: contexts only to be read, texts to be scored, with or without their ends."""
        if probe.form == "turns" and probe.contexts is not None:
            return dialogue.only_last(self.encode_turns(dialogue.joined(probe.contexts, probe.texts)))
        ending = np.array([self.config.end] if probe.ends else [], np.int32)
        texts = self._encoded(probe.texts, ending)
        if probe.contexts is None:
            return texts
        contexts = self._encoded(probe.contexts, np.zeros(0, np.int32))
        return _interleaved(Sequences(~contexts.data, contexts.offsets), texts)

    def described(self) -> dict[str, Any]:
        """Model, tokenizer and training, for the verdict; two judges that say the same measure the same."""
        own = isinstance(self.config.model, str)
        place = _causal("causal_model").device()
        return {
            **asdict(self.config),
            "parameters": None if isinstance(self.config.model, str) else self.config.model.parameters,
            "content": _content(self.config.model) if isinstance(self.config.model, str) else None,
            "tokenizer": self.tokenizer if own else Path(self.tokenizer).name,
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
    if name in SIZES:
        _libraries(f"the proxy {name!r}")
        with resources.as_file(resources.files("assay.models") / _TOKENIZER) as path:
            return CausalJudge(name, SIZES[name], str(path), _TRIALS[name])
    if "/" not in name and not Path(name).exists():
        raise RecipeError(
            f"there is no proxy {name!r}; {suggest(name, ['ngram', *SIZES])} A folder or a hub id may be one too"
        )
    _libraries(f"the proxy {name!r}")
    return _foreign(name)


def _foreign(name: str) -> CausalJudge:
    """A judge of somebody else's config or checkpoint, with its own tokenizer, else ours if nothing was trained on another."""
    causal = _causal("causal_model")
    config = causal.config_of(name)
    trained = causal.weighted(name)
    own = _own_tokenizer(name)
    if own is None and trained:
        raise InputError(
            f"the checkpoint {name!r} must come with its tokenizer (tokenizer.json); there is none beside it"
        )
    with resources.as_file(resources.files("assay.models") / _TOKENIZER) as path:
        ours = str(path)
    size = _tokenizer(ours if own is None else name).get_vocab_size()
    if size > config.vocab_size:
        raise InputError(
            f"the proxy {name!r} must know all {size:,} tokens of its tokenizer; it has {config.vocab_size:,}"
        )
    end = 0 if own is None or own.eos_token_id is None else int(own.eos_token_id)
    context = min(_CONTEXT, getattr(config, "max_position_embeddings", _CONTEXT))
    asked = CausalConfig(name, _CONTINUED if trained else _FRESH, context, end=end)
    return CausalJudge(Path(name).name, asked, ours if own is None else name, _OTHER)


def _interleaved(contexts: Sequences, texts: Sequences) -> Sequences:
    """Each context followed by its text, as one document."""
    both = Sequences(
        np.concatenate([contexts.data, texts.data]),
        np.concatenate([contexts.offsets, contexts.offsets[-1] + texts.offsets[1:]]),
    )
    count = len(texts)
    taken = both.take(np.column_stack([np.arange(count), count + np.arange(count)]).ravel())
    return Sequences(taken.data, taken.offsets[::2])


def _libraries(what: str) -> None:
    """Raise MissingExtra unless all that a neural proxy needs is installed."""
    if any(importlib.util.find_spec(library) is None for library in _LIBRARIES):
        raise MissingExtra.of(what, "models")


def _causal(module: str) -> ModuleType:
    """A module that needs torch, which is an extra and takes seconds to import."""
    return importlib.import_module(f"assay.models.{module}")


@lru_cache(maxsize=4)
def _own_tokenizer(path: str) -> Any:
    """The tokenizer of the transformers library for a folder or hub id; None for the file of ours, and where there is none."""
    return None if Path(path).name == _TOKENIZER else _causal("causal_model").tokenizer_of(path)


def _tokenizer(path: str) -> Any:
    """What makes token ids of texts: text that looks like a special token stays text."""
    own = _own_tokenizer(path)
    return models.load_model("tokenizer", path) if own is None else own.backend_tokenizer


@lru_cache(maxsize=4)
def _content(path: str) -> str:
    """A digest of a model's folder; of a hub id the name and its commit."""
    if not Path(path).is_dir():
        return str(getattr(_causal("causal_model").config_of(path), "_commit_hash", None))
    files = sorted(one for one in Path(path).iterdir() if one.suffix in (".json", ".safetensors", ".jinja"))
    return store.digest([(one.name, store.file_digest(str(one))) for one in files])
