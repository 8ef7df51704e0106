"""The README says nothing that does not run: its Python, its verbs and flags, its make targets, its links."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_the_python_runs_as_it_stands(tmp_path):
    code = "\n".join(blocks("python")).replace('"run/"', repr(str(tmp_path / "run")))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(":")[0] in ("better", "worse", "undecided"), done.stdout


def test_every_flag_exists():
    for line in "\n".join(blocks("console")).splitlines():
        words = line.partition("#")[0].split()
        if words[:2] == ["$", "assay"]:
            told = help_of(words[2])
            for flag in (word for word in words if word.startswith("--")):
                assert flag in told, f"{flag} in: {line}"


@cache
def help_of(verb: str) -> str:
    """What the installed command says of a verb."""
    told = subprocess.run([sys.executable, "-m", "assay", verb, "--help"], capture_output=True, text=True)
    assert told.returncode == 0, verb
    return told.stdout


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"make ([a-z]+)\b {2,}", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_link_leads_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
