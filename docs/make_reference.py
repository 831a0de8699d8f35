"""Write docs/reference.md from the settings and the docstrings, their one home: ``python docs/make_reference.py``."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import volumen
from volumen import cli
from volumen.cli.arguments import describe, is_list

_HEAD = """# Reference

Made from the code by `docs/make_reference.py`; a test keeps it so.

Every command also takes `--json` (events as JSON lines, the last one with the result) and `--debug` (the traceback of
an error). Exit codes: 0 done, 1 findings of `check`, 2 an error, 130 stopped by hand.
"""


def make() -> str:
    """Return the whole page."""
    parts = [_HEAD, "## Commands\n"]
    for verb, settings in cli.VERBS.items():
        fields = settings.model_fields
        given = [f"{name.upper()}{' …' if is_list(fields[name]) else ''}" for name in settings.positional]
        parts += [f"### `{' '.join(['volumen', verb, *given])}`\n", inspect.cleandoc(settings.__doc__ or "") + "\n"]
        parts.append("| option | meaning |\n|---|---|")
        names = [*settings.positional, *(name for name in settings.model_fields if name not in settings.positional)]
        for name in names:
            flag = name.upper() if name in settings.positional else "--" + name.replace("_", "-")
            field = settings.model_fields[name]
            parts.append(f"| `{flag}` | {describe(field)}{' (required)' if field.is_required() else ''} |")
        parts.append("")
    parts.append("## Python\n\nEverything loads on first use. Verbs take their settings and yield events.\n")
    parts += [_entry(name) for name in volumen.__all__]
    return "\n".join(parts).rstrip() + "\n"


def _entry(name: str) -> str:
    thing = getattr(volumen, name)
    shown = f"volumen.{name}"
    if inspect.isfunction(thing):
        shown += re.sub(r"\b(volumen|choose|settings|collections|typing)\.(\w+\.)*", "", str(inspect.signature(thing)))
    return f"### `{shown.replace(chr(39), '')}`\n\n```text\n{inspect.getdoc(thing) or ''}\n```\n"


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(make(), "utf-8")
