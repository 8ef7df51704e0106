"""The rule that nothing is skipped unseen in CI.

With ASSAY_CI=1 a session fails if a test was skipped for any reason but the two that a machine may lack: "needs GPU"
and "needs ../shared/data". Elsewhere a skip stays visible in pytest's summary and fails nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("assay", deadline=None)  # machines are shared: slowness of one example says nothing
settings.load_profile("assay")
os.environ.setdefault("RAY_worker_niceness", "0")  # 15 is Ray's default: beside other tests its workers would starve
ROOT = Path(__file__).parent.parent
MAY_LACK = ("needs GPU", "needs ../shared/data")
# A cluster's tests wait for minutes, so they come first; these last compile what others have by then left in the cache.
FIRST, LAST = ("tests/faults/test_cluster.py",), ("tests/edit/test_pii_mask.py",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the folders, but for a few files: what waits long begins early."""
    items.sort(key=lambda item: (item.nodeid.startswith(LAST), not item.nodeid.startswith(FIRST)))


def skipped_without_leave(reports: list[pytest.TestReport]) -> list[str]:
    """Tests that were skipped for a reason that CI does not accept: `test: reason`."""
    reasons = {
        report.nodeid: str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)
        for report in reports
    }
    return [f"{test}: {why}" for test, why in reasons.items() if not why.removeprefix("Skipped: ").startswith(MAY_LACK)]


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session):
    """Turn a green session red if CI skipped what it must run."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    skips = skipped_without_leave(terminal.stats.get("skipped", [])) if terminal else []
    if os.environ.get("ASSAY_CI") and skips and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield
    if os.environ.get("ASSAY_CI") and skips:
        terminal.section("skipped, which CI does not accept", red=True)
        for line in skips:
            terminal.line(line)
