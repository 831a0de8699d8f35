"""Attempt: one input laid out, read under guard, and cleared away."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from harness import split
from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from pathlib import Path

    from guard import Guard
    from harness import Harness

for _settings in VERBS.values():
    _settings.model_rebuild()  # pydantic evaluates its annotations, which the guard would take for an input's code


def try_once(harness: Harness, data: bytes, folder: Path, guard: Guard) -> BaseException | None:
    """Read an input; return the error that no reader may raise, None where all is well."""
    folder.mkdir()
    try:
        harness.lay(folder, split(data))
        with guard:
            harness.read(folder)
    except Exception as error:
        return error
    finally:
        shutil.rmtree(folder)
    return None
