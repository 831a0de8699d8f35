"""RunFolder: what lies in the folder of a training, for anyone who reads it; needs neither torch nor a window."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from volumen.errors import SourceError, SourceNotFoundError
from volumen.events import Finished, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from volumen.events import Event

RECIPE = "recipe.json"
EVENTS = "events.jsonl"
BEST = "best.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """A run as it is read: ``recipe.json``, ``events.jsonl``, ``last/``, ``best.safetensors``, ``report/``.

    Parameters
    ----------
    path
        The folder.
    recipe
        Everything that is needed to do the work again: verb, settings, seeds, versions, data identities,
        label hashes. Plain values that JSON can hold.
    """

    path: Path
    recipe: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a run folder to read it or go on with it; nothing in it changes.

        Raises
        ------
        SourceNotFoundError
            The folder is missing or is no run.
        SourceError
            Its recipe cannot be read.
        """
        path = Path(path)
        try:
            text = (path / RECIPE).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceNotFoundError(f"Expected a run folder with a {RECIPE}; {path} is none.") from error
        try:
            recipe = json.loads(text)
        except ValueError as error:
            raise SourceError(f"The recipe {path / RECIPE} is damaged: {error}. Start a fresh run.") from error
        return cls(path, recipe)

    @property
    def events_path(self) -> Path:
        """Where the events are, a line each."""
        return self.path / EVENTS

    @property
    def best_path(self) -> Path:
        """Where the best weights are, or will be."""
        return self.path / BEST

    @property
    def state_path(self) -> Path:
        """Where the resumable state is, or will be."""
        return self.path / "last" / "state.pt"

    @property
    def report_path(self) -> Path:
        """Where the report is, or will be."""
        return self.path / "report"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return any(isinstance(event, Finished) for event in self.events())

    def events(self) -> Iterator[Event]:
        """Yield the recorded events; a last line that is still being written is left out."""
        with open(self.events_path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield from_json(line.decode())


def weights_file(path: str | Path) -> Path:
    """Return a file of weights as it is, and of a run folder its best ones.

    Raises
    ------
    SourceNotFoundError
        The folder holds none.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if not (path / BEST).exists():
        raise SourceNotFoundError(f"{path} holds no {BEST}: expected a run that has finished an epoch.")
    return path / BEST
