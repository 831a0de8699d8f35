"""Outputs where nothing can be written: below a file, on a file, in a folder that may only be read."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from verb_table import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from breaking import Breaker
    from verb import Verb


def check_refused(breaker: Breaker, verb: Verb, out: Path) -> None:
    """Run a command that must fail in words, name the place, and leave it as it was."""
    before = sorted(os.listdir(out.parent)) if out.parent.is_dir() else None
    ended = breaker.commands.run(verb.begins(breaker.inputs, out), breaker.home)
    assert ended.code == 2, ended.errors or ended.out[-300:]
    assert "Traceback" not in ended.errors
    assert str(out.parent) in ended.errors, ended.errors
    assert before is None or sorted(os.listdir(out.parent)) == before


@pytest.fixture
def home(breaker: Breaker) -> Path:
    breaker.home.mkdir(parents=True)
    return breaker.home


@pytest.mark.parametrize("verb", EVERY)
def test_below_a_file(breaker: Breaker, home: Path, verb: Verb) -> None:
    (home / "file").write_text("mine")
    check_refused(breaker, verb, home / "file" / verb.out)
    assert (home / "file").read_text() == "mine"


@pytest.mark.parametrize("verb", EVERY)
def test_on_a_file_of_something_else(breaker: Breaker, home: Path, verb: Verb) -> None:
    if verb.again == "same" and verb.out == "scores.json":
        pytest.skip("scores are written over what is there")
    (home / verb.out).write_text("mine")
    check_refused(breaker, verb, home / verb.out)
    assert (home / verb.out).read_text() == "mine"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that may only be read, also by root, where the system lets us make one."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("root may write everywhere, and may mount nothing here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="folders are made read-only the POSIX way")
@pytest.mark.parametrize("verb", EVERY)
def test_in_a_folder_that_may_only_be_read(breaker: Breaker, home: Path, read_only: Path, verb: Verb) -> None:
    check_refused(breaker, verb, read_only / verb.out)
