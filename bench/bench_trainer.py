"""The neural proxies' trainer beside a plain training loop at the same shape: tokens a second, one core each.

The plain loop is written here with PyTorch only, in the manner of nanoGPT (Karpathy 2022, https://github.com/karpathy/nanoGPT):
pre-norm blocks with GELU, learned positions, fused attention, tied embeddings, AdamW, clipping. Width, layers, heads, context,
vocabulary and rows are the proxy's, the feed-forward width 4 x as there, so both have about as many numbers. It runs as it
stands, and compiled, as nanoGPT does by default; compiling, which both do in their first step, is not counted. Each is a cold
process with one thread; counted are the processor's seconds for its fastest `WINDOW` steps in a row, the best of `TIMES`
processes by turns, so that what else the machine does matters little.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness import ROOT, record, run

STEPS, WINDOW, TIMES = {"lm-nano": 60, "lm-micro": 24}, 6, int(os.environ.get("ASSAY_BENCH_TIMES", "3"))
ONE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def fastest(times: list[float], tokens: int) -> float:
    """Tokens a second over the fastest few steps in a row."""
    return WINDOW * tokens / min(late - early for early, late in zip(times, times[WINDOW:], strict=False))


def ours(size: str) -> float:
    """Tokens a second of `models/causal.py`, from its own progress."""
    import numpy as np

    from assay.models.causal import train
    from assay.models.causal_config import SIZES
    from assay.models.causal_model import one_thread
    from assay.models.stream import stream
    from assay.types import Sequences

    config = replace(SIZES[size], warm=3)
    symbols = np.random.default_rng(0).integers(0, 2048, STEPS[size] * config.step).astype(np.int32)
    block, times = Sequences(symbols, np.array([0, len(symbols)])), []
    with one_thread():
        batches = lambda: stream(iter([block]), config.context, config.rows)  # noqa: E731
        told = lambda units, loss: times.append(time.process_time())  # noqa: E731
        list(train(config, batches, (1_000,), 0, None, told))  # as for 2 M tokens, which end after so many steps
    return fastest(times, config.step)


def plain(size: str, compiled: str) -> float:
    """Tokens a second of the plain loop."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from assay.models.causal_config import SIZES

    config, shape = SIZES[size], SIZES[size].model
    width, heads = shape.width, shape.heads

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
            self.mix, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
            self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = self.mix(self.one(x)).split(width, 2)
            q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in parts)
            x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
            return x + self.down(F.gelu(self.up(self.two(x))))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(shape.vocabulary, width)
            self.places = nn.Embedding(config.context, width)
            self.blocks = nn.ModuleList(Block() for _ in range(shape.layers))
            self.norm = nn.LayerNorm(width, bias=False)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            found = self.tokens(x) + self.places(torch.arange(x.shape[1]))
            for block in self.blocks:
                found = block(found)
            logits = F.linear(self.norm(found), self.tokens.weight)
            return F.cross_entropy(logits.view(-1, shape.vocabulary), y.view(-1))

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Model()
    loss_of: Callable[..., torch.Tensor] = torch.compile(model) if compiled == "compiled" else model
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    times = []
    for _ in range(STEPS[size]):
        tokens = torch.randint(0, shape.vocabulary, (config.rows, config.context + 1))
        loss_of(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        times.append(time.process_time())
    return fastest(times, config.step)


def child(*arguments: str) -> float:
    """One of the two in a process of its own."""
    return float(
        json.loads(run([sys.executable, Path(__file__), "--", *arguments], variables=ONE).output.splitlines()[-1])
    )


def main() -> None:
    """By turns, then the ratios."""
    import torch

    rows = []
    for size in STEPS:
        kinds = {"ours": ("ours", size), "eager": ("plain", size, "eager"), "compiled": ("plain", size, "compiled")}
        found = {name: 0.0 for name in kinds}
        for _ in range(TIMES):
            found = {name: max(found[name], child(*kinds[name])) for name in kinds}
        for name, wanted in (("eager", "at least 1"), ("compiled", "for comparison")):
            rows.append(
                {
                    "work": f"{size}, one core, tokens per second of processor",
                    "peer": f"plain loop, {'torch.compile' if name == 'compiled' else 'as it stands'}",
                    "version": f"torch {torch.__version__}",
                    "ratio": found["ours"] / found[name],
                    "direction": "faster",
                    "ours": f"{found['ours']:,.0f} tokens/s",
                    "theirs": f"{found[name]:,.0f} tokens/s",
                    "wanted": wanted,
                }
            )
    record("trainer", {"rows": rows})


if __name__ == "__main__":
    if "--" in sys.argv:
        which, *rest = sys.argv[sys.argv.index("--") + 1 :]
        print(json.dumps({"ours": ours, "plain": plain}[which](*rest)))
    else:
        sys.path.insert(0, str(ROOT / "bench"))
        sys.exit(main())
