"""What a page shows to be run: its blocks, the commands in them, and how they are carried out in this process."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen import cli
from volumen.cli.arguments import build_parser
from volumen.events import result
from volumen.recipes.verbs import load_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("../README.md", *sorted(page.name for page in DOCS.glob("*.md")))
"""Every page, by its name below the folder of the documentation."""

_FENCE = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FINDS = re.compile(r"# finds (\w+)$")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language, ``console`` or ``python``, and the text of each block of a page."""
    return _FENCE.findall((DOCS / page).read_text("utf-8"))


def commands(block: str) -> list[str]:
    """Return the lines of a block of console that call volumen."""
    return [line for line in block.splitlines() if line.startswith("volumen ")]


def carry_out(
    page: str, small: Mapping[str, Any] | None = None, others: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Run every command and every line of Python of a page, in the current folder.

    Parameters
    ----------
    small
        Settings that make it shorter, for all verbs that have them.
    others
        More of them, for some verbs alone.

    Returns
    -------
    dict
        What the Python of the page defined.
    """
    names: dict[str, Any] = {}
    for language, block in blocks(page):
        if language == "python":
            exec(compile(block, page, "exec"), names)
            continue
        for line in commands(block):
            verb, options = parsed(line)
            kind = cli.VERBS[verb]
            fewer = {name: value for name, value in (small or {}).items() if name in kind.model_fields}
            told = result(load_recipe(verb)(kind(**{**options, **fewer, **(others or {}).get(verb, {})})))
            assert told, line
            found = _FINDS.search(line)
            if verb == "check":
                assert [each["code"] for each in told["findings"]] == ([found[1]] if found else []), line
    return names


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """Return the verb of a command and its options, as they were given."""
    options = vars(build_parser(cli.VERBS, cli.FAMILIES).parse_args(shlex.split(line, comments=True)[1:]))
    return " ".join(options.pop(part) for part in ("verb", "word") if part in options), options


def run_python(page: str, number: int = 0) -> dict[str, Any]:
    """Run one of the blocks of Python of a page alone, and return what it defined."""
    shown = [block for language, block in blocks(page) if language == "python"]
    names: dict[str, Any] = {}
    exec(compile(shown[number], page, "exec"), names)
    return names


def columns(page: str, heading: str) -> dict[str, str]:
    """Return the rows of the table of a page whose first heading this is: first and second column."""
    lines = iter((DOCS / page).read_text("utf-8").splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            next(lines)
            break
    rows = {}
    for line in lines:
        if not line.startswith("|"):
            return rows
        first, second = (cell.strip() for cell in line.strip("|").split("|")[:2])
        rows |= dict.fromkeys(re.findall(r"`([^`]+)`", first), second)
    return rows


def read_json(path: str | Path) -> dict[str, Any]:
    """Read an object from a JSON file."""
    return json.loads(Path(path).read_text("utf-8"))
