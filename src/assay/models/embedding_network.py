"""Vectors of texts: the last hidden states of a transformer, pooled over the tokens of each text, and of length one.

    v = Σ_i w_i h_i / Σ_i w_i,   w_i = 1 (mean),  i (position_weighted),  [i = n] (last),  [i = 1] (first)

over the text's own n tokens, i from 1: texts of like length are read together, padded at their ends, and padding has no weight.
An encoder's tokenizer adds its own marks ([CLS] and [SEP]), which count as tokens. Weighting by position: Muennighoff 2022,
SGPT, https://arxiv.org/abs/2202.08904; the mean: Reimers and Gurevych 2019, Sentence-BERT, https://arxiv.org/abs/1908.10084.

On a processor in float32 with one thread, on a GPU in bfloat16; pooled in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import torch
import transformers
from jaxtyping import Float16, Float32
from torch import Tensor

from assay.errors import InputError
from assay.models import causal_model, dialogue, hub
from assay.models.causal_config import SIZES
from assay.models.causal_model import Causal, one_thread
from assay.models.embedding import Embedder
from assay.models.language import language_of
from assay.types import Sequences, Texts

_PLACES = {"cpu": 4096, "cuda": 131_072}  # places that are read at once
_SANE = 1_000_000  # a tokenizer that knows no limit says a very large number


@final
@dataclass(frozen=True)
class Network:
    """An embedder on its device: its `module`, what makes tokens of texts, and the width d of its vectors."""

    module: Any
    encode: Callable[[Texts], Sequences]
    pooling: str
    tokens: int
    place: str

    @classmethod
    def of(cls, embedder: Embedder, form: str = "text") -> Network:
        """Open it for rows of a form, `text` or marked `turns`.

        Raises InputError where there are no weights, no tokenizer, or a network that this cannot embed with.
        """
        place = causal_model.device()
        if embedder.ours:
            language, module = language_of(embedder.folder), Causal.of(SIZES[embedder.folder], 0).module.base_model
            encode = language.encode if form == "text" else language.encode_turns
            tokens = min(embedder.tokens, module.config.max_position_embeddings)
        else:
            module, tokenizer = _module(embedder.folder, place), _tokenizer(embedder.folder)
            tokens = _limit(embedder, module.config, tokenizer)
            encode = _encoding(embedder.folder, tokenizer, tokens, form)
        module.config.use_cache = False
        return cls(module, encode, embedder.pooling, tokens, place)

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self.module.config.hidden_size)

    def vectors(self, texts: Texts) -> Float16[np.ndarray, "b d"]:
        """One vector of length one for each text; NaN where the network says nothing finite."""
        found = np.zeros((len(texts), self.width), np.float32)
        read = self.encode(texts) if len(texts) else Sequences(np.zeros(0, np.int32), np.zeros(1, np.int64))
        sizes = np.minimum(read.sizes, self.tokens)
        order, at = np.argsort(-sizes, kind="stable"), 0
        while at < len(order):
            some = order[at : at + max(1, _PLACES[self.place] // max(1, int(sizes[order[at]])))]
            with one_thread():
                found[some] = self._states(read, some, sizes[some])
            at += len(some)
        return _unit(found).astype(np.float16)

    def _states(self, read: Sequences, some: np.ndarray, sizes: np.ndarray) -> Float32[np.ndarray, "b d"]:
        """Pooled states of texts that are read together, the longest first."""
        places = np.arange(max(1, int(sizes[0])))
        mask = places < np.maximum(sizes, 1)[:, None]  # of a text without tokens the first place, an end, is read
        at = np.minimum(read.offsets[some][:, None] + places, max(0, len(read.data) - 1))
        tokens = (
            np.where(places < sizes[:, None], read.data[at], 0) if len(read.data) else np.zeros(mask.shape, np.int64)
        )
        tokens = np.where(tokens < 0, ~tokens, tokens).astype(np.int64)
        seen = torch.from_numpy(mask).to(self.place)
        with torch.inference_mode(), torch.autocast(self.place, torch.bfloat16, enabled=self.place == "cuda"):
            states = self.module(
                input_ids=torch.from_numpy(tokens).to(self.place), attention_mask=seen.long()
            ).last_hidden_state
        return pooled(states, seen, self.pooling).cpu().numpy()


def pooled(states: Tensor, seen: Tensor, pooling: str) -> Tensor:
    """States (b, c, d) as one vector (b, d) for each row, over the places that are `seen` (b, c), a run from the first on.

    >>> states, seen = torch.tensor([[[1.0], [4.0], [9.0]]]), torch.tensor([[True, True, False]])
    >>> [pooled(states, seen, how).item() for how in ("mean", "position_weighted", "last", "first")]
    [2.5, 3.0, 4.0, 1.0]
    """
    counted = seen.float()
    places = torch.arange(1, seen.shape[1] + 1, device=seen.device)
    weights = {
        "mean": counted,
        "position_weighted": counted * places,
        "last": (places == counted.sum(1, keepdim=True)).float(),
        "first": (places == 1).float().expand_as(counted),
    }[pooling]
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("bc,bcd->bd", weights, states.float())


def _unit(vectors: Float32[np.ndarray, "b d"]) -> Float32[np.ndarray, "b d"]:
    finite = np.isfinite(vectors).all(axis=1, keepdims=True)
    lengths = np.sqrt((np.where(finite, vectors, 0).astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.where(finite, vectors / np.where(lengths > 0, lengths, 1.0), np.nan)


def _module(folder: str, place: str) -> Any:
    config = causal_model.config_of(folder)
    if config.is_encoder_decoder:
        raise InputError(
            f"the embedder {folder!r} must be an encoder or a causal language model; it is a {config.model_type}, which has an "
            "encoder and a decoder: give a model of one part"
        )
    if not hub.weighted(folder):
        raise InputError(
            f"the embedder {folder!r} must come with its weights (model.safetensors); there are none beside it"
        )
    kind = torch.bfloat16 if place == "cuda" else torch.float32
    with hub.quiet():
        module = transformers.AutoModel.from_pretrained(
            folder, dtype=kind, use_safetensors=True, trust_remote_code=False
        )
    return module.to(place).eval()


def _tokenizer(folder: str) -> Any:
    found = hub.tokenizer_of(folder)
    if found is None:
        raise InputError(
            f"the embedder {folder!r} must come with its tokenizer (tokenizer.json); there is none beside it"
        )
    return found


def _limit(embedder: Embedder, config: Any, tokenizer: Any) -> int:
    """Tokens that are read at most: as asked, and as many as the network has places for."""
    most = min(embedder.tokens, getattr(config, "max_position_embeddings", None) or embedder.tokens)
    return min(most, tokenizer.model_max_length) if tokenizer.model_max_length < _SANE else most


def _encoding(folder: str, tokenizer: Any, tokens: int, form: str) -> Callable[[Texts], Sequences]:
    """What makes tokens of texts: dialogues in the chat template of a checkpoint that has one, all else as its tokenizer does."""
    if form == "turns" and tokenizer.chat_template:
        return language_of(folder).encode_turns
    backend = tokenizer.backend_tokenizer
    backend.no_padding()  # a tokenizer may have been saved with both
    backend.enable_truncation(tokens)
    return partial(_marked, backend, dialogue.plain if form == "turns" else lambda texts: texts)


def _marked(backend: Any, plain: Callable[[Texts], Texts], texts: Texts) -> Sequences:
    """Tokens with the marks that the tokenizer adds."""
    ids = [np.array(one.ids, np.int32) for one in backend.encode_batch(list(plain(texts)), add_special_tokens=True)]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(one) for one in ids], dtype=np.int64)])
    return Sequences(np.concatenate([np.zeros(0, np.int32), *ids]), offsets)
