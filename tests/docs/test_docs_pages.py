"""The documentation is true: the tutorial runs from top to bottom, and the reference is what the code says."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from volumen import cli

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(600)
def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for language, block in FENCE.findall((DOCS / "tutorial.md").read_text("utf-8")):
        if language == "python":
            exec(compile(block, "tutorial.md", "exec"), names)
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "volumen"
            assert cli.main(arguments) == 0, line
    assert 0 <= names["scores"]["held_out"]["auc"] <= 1
    assert names["probability"].shape == (1, 64, 64)
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


def test_the_reference_is_what_the_code_says():
    make = runpy.run_path(str(DOCS / "make_reference.py"))["make"]
    assert make() == (DOCS / "reference.md").read_text("utf-8"), "run: python docs/make_reference.py"
