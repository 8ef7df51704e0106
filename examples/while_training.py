"""A bandit chooses the domain of each batch while a tiny model of bytes trains: python examples/while_training.py FOLDER

Sixty steps on a fifth of the example pool, some seconds on a processor; prints the weights that the domains have then.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

import assay

POOL, FOLDER = Path(__file__).parent / "data" / "pool.jsonl.zst", Path(sys.argv[1])


def collate(rows: list[dict]) -> torch.Tensor:
    """The first 128 bytes of each text."""
    return torch.tensor([list(row["text"].encode()[:128].ljust(128)) for row in rows])


# The ten lines.
run = assay.select(POOL, method="random", budget="20%", out=FOLDER / "run")
sampler = assay.sampler(run, method="odm", batch_size=8, steps=60, parameters={"warmup": 20})
loader = DataLoader(run.to_dataset(), batch_sampler=sampler.to_torch(), collate_fn=collate)
model = torch.nn.Sequential(torch.nn.Embedding(256, 64), torch.nn.Linear(64, 256))
optimiser = torch.optim.Adam(model.parameters(), 0.01)
for batch in loader:
    loss = F.cross_entropy(model(batch[:, :-1]).transpose(1, 2), batch[:, 1:])
    optimiser.zero_grad(), loss.backward(), optimiser.step()
    sampler.report(loss)
sampler.save(FOLDER / "sampler.safetensors")

print(f"step {sampler.step}:", ", ".join(f"{name} {weight:.3f}" for name, weight in sampler.weights.items()))
