"""Write docs/reference.md from the settings, the one home of all options: ``python docs/make_reference.py``."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from volumen import cli
from volumen.settings.fields import bare, choices, describe, is_list, item_choices, metavar, option

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_HEAD = """# Commands

Made from the settings by `docs/make_reference.py`; a test keeps it so.

Every command also takes `--json` (events as JSON lines, the last one with the result) and `--debug` (the traceback of
an error). Exit codes: 0 done, 1 findings of `check`, 2 an error, 130 stopped by hand, 141 nobody reads what is printed
any more. A switch that is on is turned off by `--no-` before its name.

What stands for a value: `N` a whole number, `X` a number, `TEXT` a word; `PATH` a file, folder or URL; `A:B` a range
that begins at A and ends before B, `Y0:Y1,X0:X1` a box of such ranges, rows first, in px; `H,W` height and width.
"""


def make() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for verb, settings in cli.VERBS.items():
        fields = settings.model_fields
        given = [f"{name.upper()}{' …' if is_list(fields[name]) else ''}" for name in settings.positional]
        parts += [f"## `{' '.join(['volumen', verb, *given])}`\n", inspect.cleandoc(settings.__doc__ or "") + "\n"]
        parts.append(f"```console\n{settings.example}\n```\n")
        parts.append("| option | meaning |\n|---|---|")
        names = [*settings.positional, *(name for name in settings.model_fields if name not in settings.positional)]
        for name in names:
            field = settings.model_fields[name]
            flag = name.upper() if name in settings.positional else f"{option(name)}{_value(field)}"
            required = " (required)" if field.is_required() else ""
            parts.append(f"| `{flag}` | {describe(field)}{required}{_among(field)} |".replace("N|", r"N\|"))
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _words(field: FieldInfo) -> tuple[str, ...] | None:
    return item_choices(field) if is_list(field) else choices(bare(field))


def _value(field: FieldInfo) -> str:
    """Return the form of an option's value, where it is not a switch or one of a few words."""
    if bare(field) is bool or _words(field):
        return ""
    return " " + (metavar(field) or {int: "N", float: "X"}.get(bare(field), "TEXT"))


def _among(field: FieldInfo) -> str:
    """Return the words that a value is one of."""
    words = _words(field)
    return f"; one of {', '.join(f'`{word}`' for word in words)}" if words else ""


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(make(), "utf-8")
