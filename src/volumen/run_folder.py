"""RunFolder: what lies in the folder of a training, for anyone who reads it; needs neither torch nor a window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from volumen.errors import SourceError, SourceNotFoundError
from volumen.events import Finished, from_json
from volumen.plain_json import parse_object

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
            text = (path / RECIPE).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise SourceNotFoundError(f"Expected a run folder with a {RECIPE}; {path} is none.") from error
        try:
            recipe = parse_object(text)
        except ValueError as error:
            raise SourceError(f"The recipe {path / RECIPE} is damaged: {error}. Start a fresh run.") from error
        return cls(path, recipe)

    @property
    def verb(self) -> str:
        """What made it, such as ``finetune`` or ``pretrain spark``."""
        return str(self.said("verb", str))

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the verb was told."""
        settings: Mapping[str, Any] = self.said("settings", dict)
        return settings

    def said(self, name: str, kind: type) -> Any:
        """Return what every recipe says; a `SourceError` where this one does not."""
        found = self.recipe.get(name)
        if not isinstance(found, kind):
            raise SourceError(
                f"The recipe {self.path / RECIPE} is damaged: it does not say the {name}. Start a fresh run."
            )
        return found

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
        """Yield the recorded events; a last line that is still being written is left out.

        Raises
        ------
        SourceNotFoundError
            There is no file of events.
        SourceError
            A line is no event.
        """
        if not self.events_path.is_file():
            raise SourceNotFoundError(f"Expected the events of a run in {self.events_path}; there are none.")
        with open(self.events_path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield self._event(number, line)

    def _event(self, number: int, line: bytes) -> Event:
        try:
            return from_json(line.decode())
        except ValueError as error:
            raise SourceError(
                f"Line {number} of {self.events_path} is damaged: {error}. Remove it, or start a fresh run."
            ) from error


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
        raise SourceNotFoundError(
            f"{path} holds no {BEST}; expected a run folder that has finished an epoch, or a checkpoint."
        )
    return path / BEST
