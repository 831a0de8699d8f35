"""Trained: the runs in a folder that have weights, and names for the next ones."""

from __future__ import annotations

import datetime
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from volumen.errors import VolumenError
from volumen.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

PRETRAINED, FINETUNED = "pretrain spark", "finetune"
"""Verbs of runs, as their recipes name them."""

TRAININGS = (FINETUNED, PRETRAINED)
"""Verbs of the window that make runs, which the verb resume goes on with."""


@dataclass(frozen=True)
class Trained:
    """A run that has weights.

    Parameters
    ----------
    path
        Its folder.
    verb
        What made it, as its recipe says.
    """

    path: Path
    verb: str

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.path.name

    @property
    def weights(self) -> Path:
        """Its best weights."""
        return RunFolder(self.path, {}).best_path


def find_trained(runs: Path, *verbs: str) -> list[Trained]:
    """Return the runs in a folder that were made by one of ``verbs`` and have weights, the latest first."""
    found = []
    for folder in _folders(runs):
        try:
            run = RunFolder.open(folder)
            changed = run.best_path.stat().st_mtime
        except (VolumenError, OSError):  # no run, damaged, or without weights yet
            continue
        if run.recipe.get("verb") in verbs:
            found.append((changed, Trained(folder, run.verb)))
    return [trained for _, trained in sorted(found, key=lambda item: item[0], reverse=True)]


def weights_in(runs: Path) -> frozenset[tuple[str, float]]:
    """Return which weights there are and when each was written: cheap, and different whenever `find_trained` is."""
    found = set()
    for folder in _folders(runs):
        with suppress(OSError):  # no weights yet
            found.add((folder.name, RunFolder(folder, {}).best_path.stat().st_mtime))
    return frozenset(found)


def propose(runs: Path, *parts: str, ending: str = "", today: datetime.date | None = None) -> Path:
    """Return a path below ``runs`` that is free: the parts, the day and a number.

    Examples
    --------
    >>> from pathlib import Path
    >>> propose(Path("/none"), "scroll 1", "ink", ending=".zarr", today=datetime.date(2026, 11, 21)).name
    'scroll_1_ink_2026-11-21_1.zarr'
    """
    day = (today or datetime.date.today()).isoformat()
    stem = "_".join(re.sub(r"[^\w.-]+", "_", part) for part in (*parts, day) if part)
    try:
        taken = {name.casefold() for name in os.listdir(runs)}  # once: each question has its price on a network
    except OSError:
        taken = set()
    names = (f"{stem}_{number}{ending}" for number in count(1))
    return runs / next(name for name in names if name.casefold() not in taken)


def _folders(runs: Path) -> list[Path]:
    try:
        with os.scandir(runs) as entries:  # which mostly says at once what is a folder
            return [runs / entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
