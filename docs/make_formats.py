"""Write what programs may rely on from the code that has it: ``python docs/make_formats.py``.

The page of events is written whole; on the page of files, the tables of a checkpoint's header and of an index.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from volumen import events
from volumen.models import checkpoint
from volumen.sources.index import window_index

DOCS = Path(__file__).parent

_HEAD = """# Events

Made from `volumen.events` by `docs/make_formats.py`; a test keeps it so.

Long work says what it does in events, from Python as frozen objects, on the command line with `--json` as lines of
JSON, and in a run's `events.jsonl` in the same form. The key `event` says which kind a line is; NaN and infinity are
`null`. Work that comes to its end ends with `finished`; one that does not was stopped, or says on standard error why it
failed.
Programs should pass over kinds and keys that they do not know: there may be more of them in later versions.

A segment that is being predicted, for instance:

```json
{example}
```
"""

_EXAMPLE = (
    events.Started(work="predict", total=6, unit="tiles", device="cpu"),
    events.Stepped(done=1, total=6, values={"pixels_per_second": 812345.0}),
    events.TileWritten(done=1, total=4, box=(0, 512, 0, 512)),
    events.Finished(result={"path": "ink.zarr", "tiles": 6}),
)
"""One of each kind of line that a prediction writes, with numbers that are made up."""


def make_events() -> str:
    """Return the page of events."""
    parts = [_HEAD.replace("{example}", "\n".join(map(events.to_json, _EXAMPLE)))]
    for kind in get_args(events.Event):
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        said = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(kind.__doc__))
        keys = "\n".join(f"| `{field.name}` | {_json_type(str(field.type))} |" for field in fields(kind))
        parts.append(f"## `{name}`\n\n{said}\n\n| key | type |\n|---|---|\n{keys}\n")
    return "\n".join(parts)


def make_files() -> str:
    """Return the page of files, with the parts that are made from the code as the code has them now."""
    page = (DOCS / "files.md").read_text("utf-8")
    rows = "\n".join(f"| `{name}` | {said} |" for name, said in header_keys().items())
    page = _put(page, "header", f"| key of a header | holds |\n|---|---|\n{rows}")
    layout = inspect.getdoc(window_index).partition("::")[2].strip("\n")
    return _put(page, "index", f"```text\n{inspect.cleandoc(layout)}\n```")


def header_keys() -> dict[str, str]:
    """Return what a checkpoint's header may say, each with what is written below it in the code."""
    (home,) = (
        node
        for node in ast.parse(inspect.getsource(checkpoint)).body
        if isinstance(node, ast.ClassDef) and node.name == checkpoint.Header.__name__
    )
    said = {}
    for key, words in zip(home.body[1::2], home.body[2::2], strict=True):
        text = " ".join(inspect.cleandoc(words.value.value).split())
        said[key.target.id] = re.sub(r"``(.+?)``", r"`\1`", text).rstrip(".")
    return said


def _put(page: str, name: str, text: str) -> str:
    """Put a text between two marks of a page."""
    before, _, rest = page.partition(f"<!-- {name} -->\n")
    after = rest.partition(f"<!-- /{name} -->\n")[2]
    return f"{before}<!-- {name} -->\n\n{text}\n\n<!-- /{name} -->\n{after}"


def _json_type(annotation: str) -> str:
    known = {
        "str": "text",
        "int": "number",
        "float": "number",
        "bool": "true or false",
        "Mapping[str, Any]": "object",
        "Mapping[str, float]": "object of numbers",
        "tuple[int, int, int, int]": "list of 4 numbers",
    }
    return known[annotation]


if __name__ == "__main__":
    (DOCS / "events.md").write_text(make_events(), "utf-8")
    (DOCS / "files.md").write_text(make_files(), "utf-8")
