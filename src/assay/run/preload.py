"""What the forkserver imports before it forks the first worker: the compiled kernels and all that a visit needs.

numba imports scipy only to see whether it could offer linear algebra inside kernels. No kernel here uses any, so scipy is
hidden meanwhile, which takes a third off a worker's start; later imports find it as usual.
"""

from __future__ import annotations

import sys

_was_there = "scipy" in sys.modules
if not _was_there:
    sys.modules["scipy"] = None  # type: ignore[assignment]
try:
    import assay.run.visit  # noqa: F401
finally:
    if not _was_there:
        del sys.modules["scipy"]
