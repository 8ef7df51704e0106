"""A server to fork commands from that are killed, or that drop their rights: what they import is there already."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context

import pytest


@pytest.fixture(scope="session")
def forks() -> multiprocessing.context.BaseContext:
    """Processes that start in milliseconds; sessions of other tests may have started the server before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.engine", "command", "faults"])
    return context
