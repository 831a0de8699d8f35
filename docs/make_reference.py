"""Write docs/reference.md from the settings and the docstrings, their one home: ``python docs/make_reference.py``."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import volumen
from volumen import cli
from volumen.cli.arguments import describe

_HEAD = """# Reference

Made from the code by `docs/make_reference.py`; a test keeps it so.

Every command also takes `--json` (events as JSON lines, the last one with the result) and `--debug` (the traceback of
an error). Exit codes: 0 done, 1 findings of `check`, 2 an error, 130 stopped by hand.
"""


def make() -> str:
    """Return the whole page."""
    parts = [_HEAD, "## Commands\n"]
    for verb, (settings, _) in cli.VERBS.items():
        given = " ".join(name.upper() for name in settings.positional)
        parts.append(
            f"### `volumen {verb} {given}`".replace(" `", "`") if not given else f"### `volumen {verb} {given}`"
        )
        parts.append(f"\n{inspect.cleandoc(settings.__doc__ or '')}\n")
        parts.append("| option | meaning |\n|---|---|")
        for name, field in settings.model_fields.items():
            flag = name.upper() if name in settings.positional else "--" + name.replace("_", "-")
            meaning = describe(field) + (" (required)" if field.is_required() else "")
            parts.append(f"| `{flag}` | {meaning} |")
        parts.append("")
    parts.append("## Python\n\nEverything loads on first use. Verbs take their settings and yield events.\n")
    for name in volumen.__all__:
        parts.append(_entry(name))
    return "\n".join(parts).rstrip() + "\n"


def _entry(name: str) -> str:
    thing = getattr(volumen, name)
    shown = f"volumen.{name}"
    if inspect.isfunction(thing):
        shown += re.sub(r"volumen(\.\w+)*\.", "", str(inspect.signature(thing))).replace("'", "")
    text = re.sub(r"\n(\w[^\n]*)\n-{3,}\n", r"\n**\1**\n\n", inspect.getdoc(thing) or "")
    text = re.sub(r"((?:^>>> .*\n?(?:^(?!\n).*\n?)*)+)", r"```python\n\1\n```\n", text, flags=re.MULTILINE)
    return f"### `{shown}`\n\n{text}\n"


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(make(), "utf-8")
