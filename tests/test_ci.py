"""Nothing is skipped unseen in CI: the rule of tests/conftest.py and of .ci/run, on small suites of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def suite(folder: Path, body: str, ci: bool) -> subprocess.CompletedProcess[str]:
    """Run a suite of one file under the real conftest."""
    shutil.copy(HERE / "conftest.py", folder)
    (folder / "test_one.py").write_text(f"import pytest\n\ndef test_works():\n    pass\n\n{body}")
    variables = {key: value for key, value in os.environ.items() if key != "ASSAY_CI"} | (
        {"ASSAY_CI": "1"} if ci else {}
    )
    variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def skipped(reason: str) -> str:
    return (
        f'@pytest.mark.skip(reason="{reason}")\ndef test_{"_".join(re.findall("[A-Za-z]+", reason))}():\n    pass\n\n'
    )


def test_what_a_machine_may_lack_is_accepted(tmp_path: Path):
    green = suite(tmp_path, skipped("needs GPU") + skipped("needs ../shared/data"), ci=True)
    assert green.returncode == 0 and "1 passed, 2 skipped" in green.stdout


SKIPS = (
    'def test_called():\n    pytest.skip("needs Chromium")\n\n',
    '@pytest.mark.skipif(True, reason="slow")\ndef test_marked():\n    pass\n\n',
    '@pytest.mark.parametrize("nothing", [])\ndef test_of_nothing(nothing):\n    pass\n\n',
)


def test_any_other_skip_fails_ci(tmp_path: Path):
    red = suite(tmp_path, skipped("needs GPU") + "".join(SKIPS), ci=True)
    assert red.returncode == 1
    complaint = red.stdout.split("which CI does not accept")[1]
    assert all(name in complaint for name in ("test_called", "test_marked", "test_of_nothing"))
    assert "GPU" not in complaint and "4 skipped" in red.stdout.strip().splitlines()[-1]


def test_elsewhere_a_skip_is_only_seen(tmp_path: Path):
    seen = suite(tmp_path, SKIPS[0], ci=False)
    assert seen.returncode == 0 and "1 passed, 1 skipped" in seen.stdout
