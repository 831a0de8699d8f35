"""Remembered: what was last typed into each form, kept in the runs folder so that nothing typed is lost."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FILE = ".forms.json"


def remember(runs: Path, form: str, values: Mapping[str, Any]) -> None:
    """Keep the values of a form; where that is impossible, the form works on without.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     remember(Path(folder), "finetune", {"epochs": 5})
    ...     remembered(Path(folder), "finetune"), remembered(Path(folder), "predict")
    ({'epochs': 5}, {})
    """
    everything = {**_read(runs), form: dict(values)}
    with suppress(OSError):
        write_whole(runs / _FILE, json.dumps(everything, indent=2, ensure_ascii=False))


def remembered(runs: Path, form: str) -> dict[str, Any]:
    """Return what `remember` kept of a form; nothing where the file is missing or damaged."""
    values = _read(runs).get(form, {})
    return values if isinstance(values, dict) else {}


def _read(runs: Path) -> dict[str, Any]:
    try:
        found = json.loads((runs / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
