"""From an installed wheel, in an empty folder: the demo of the README and the tutorials, as they stand on the pages.

``python tests/docs/smoke.py [--only PAGE …]`` in an environment that volumen was installed into; ``tox -e smoke`` makes
one. Nothing is imported from the source tree; each command is a process. Prints how long each page
took, and ends with the first thing that fails.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
DEMO = "demo"
PAGES = (
    DEMO,
    "tutorial",
    "tutorial_handwriting",
    "tutorial_characters",
    "tutorial_apparel",
    "own_data",
    "foreign_weights",
)
"""What is carried out: the README's demo, and pages. That of the window has a test of its own, under a display."""

_FENCE = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INSTALLED = "import sys, volumen; assert volumen.__file__.startswith(sys.prefix), volumen.__file__"


def main() -> None:
    """Carry out what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PAGES, default=PAGES, help="pages to carry out; all if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        call([sys.executable, "-c", _INSTALLED], Path(folder))
    for page in options.only:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            carry_out(page, Path(folder))
        print(f"{page}: {time.monotonic() - began:.0f} s", flush=True)


def carry_out(page: str, folder: Path) -> None:
    """Run the demo, or every command and line of Python of a page, in a folder."""
    if page == DEMO:
        call([sys.executable, "-m", "volumen", "demo", "--out", "volumen-demo"], folder)
        return
    names: dict[str, Any] = {}
    for language, block in _FENCE.findall((DOCS / f"{page}.md").read_text("utf-8")):
        if language == "python":
            with contextlib.chdir(folder):
                exec(compile(block, page, "exec"), names)
            continue
        for line in filter(lambda each: each.startswith("volumen "), block.splitlines()):
            command, _, said = line.partition("  #")
            call([sys.executable, "-m", *command.split()], folder, expected=1 if said.startswith(" finds") else 0)


def call(command: list[str], folder: Path, *, expected: int = 0) -> None:
    """Run a program in a folder, quietly unless it fails."""
    found = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
    if found.returncode != expected:
        raise SystemExit(f"{' '.join(command)}\nended with {found.returncode}:\n{found.stdout}{found.stderr}")


if __name__ == "__main__":
    main()
