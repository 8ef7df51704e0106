"""Assay chooses training data and tests the choice.

The public names are loaded when they are first used, so that `import assay` and `assay --help` are instant.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "AssayError": "assay.errors",
    "Budget": "assay.types",
    "Pool": "assay.api",
    "Run": "assay.runs",
    "read": "assay.api",
    "sampler": "assay.sampling",
    "clean": "assay.api",
    "mix": "assay.api",
    "select": "assay.api",
    "verify": "assay.api",
}
__all__ = ["AssayError", "Budget", "Pool", "Run", "clean", "mix", "read", "sampler", "select", "verify"]

# Three functions share their names with folders of methods. Loading the (empty) folders now, and letting go of their names,
# keeps a later import of a method from putting the folder where the function should be.
for _folder in ("mix", "select", "verify"):
    importlib.import_module(f"assay.{_folder}")
    del globals()[_folder]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
