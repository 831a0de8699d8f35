"""Run: a folder that holds everything about one training, and can be gone on with after a kill at any moment."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import torch

from volumen.drafts import draft_of
from volumen.errors import CheckpointError, OutputExistsError
from volumen.events import to_json
from volumen.models.weights import DAMAGE, check_unpacked
from volumen.run_folder import EVENTS, RECIPE, RunFolder
from volumen.whole_files import out_of_space, whole_file
from volumen.writer import only_writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from volumen.events import Event

_POSITION = "events_position"


@dataclass(frozen=True)
class Run(RunFolder):
    """A run folder as it is written: what `RunFolder` reads, and the resumable state.

    One process writes a run; any number may read it meanwhile. The events and the saved state belong
    together: the state remembers how long ``events.jsonl`` was when it was taken, and `rewind` cuts off what
    came later, since those steps will be done, and told, again.

    Examples
    --------
    >>> import tempfile
    >>> from volumen.events import Stepped
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Run.create(Path(folder) / "run", {"verb": "finetune"})
    ...     run.record(Stepped(done=1, total=2))
    ...     run.save_state({"step": 1})
    ...     run.record(Stepped(done=2, total=2))
    ...     state = run.rewind()
    ...     state, [event.done for event in run.events()]
    ({'step': 1}, [1])
    """

    @classmethod
    def create(cls, path: str | Path, recipe: Mapping[str, Any], *, overwrite: bool = False) -> Run:
        """Make a run folder; it appears complete or not at all.

        Raises
        ------
        OutputExistsError
            Something is there already. With ``overwrite`` a run, or an empty folder, is replaced; anything
            else is never deleted.
        """
        path = Path(path)
        check_free(path, overwrite=overwrite)
        fresh, aside = draft_of(path), draft_of(path)
        with out_of_space(path):
            fresh.mkdir(parents=True)
            (fresh / RECIPE).write_text(json.dumps(recipe, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            (fresh / EVENTS).touch()
            _swap(fresh, path, aside)
        return cls(path, json.loads((path / RECIPE).read_text(encoding="utf-8")))

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        """Be the only process that writes the run, however it ends; raises an `InUseError` where another is."""
        with only_writer(self.state_path.parent, self.path):
            yield

    def record(self, event: Event) -> None:
        """Append an event, one line, out of this process before the call returns."""
        with out_of_space(self.path), open(self.events_path, "ab") as file:
            file.write(to_json(event).encode() + b"\n")

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Save tensors and plain values; the previous state stays until this one is complete on the disk."""
        position = self.events_path.stat().st_size
        with whole_file(self.state_path, synced=True) as draft, open(draft, "wb") as file:
            torch.save({**state, _POSITION: position}, file)  # which, given a name, hides why it could not write

    def load_state(self) -> dict[str, Any] | None:
        """Return the saved state with its tensors on the CPU, or None where none was saved yet.

        Raises
        ------
        CheckpointError
            The state is damaged, or holds more than tensors and plain values (no pickled code is ever run).
        """
        state = self._stored()
        if state is not None:
            del state[_POSITION]
        return state

    def rewind(self) -> dict[str, Any] | None:
        """Return the saved state as `load_state` does, and forget the events that came after it."""
        state = self._stored()
        position = 0 if state is None else state.pop(_POSITION)
        with open(self.events_path, "ab") as file:
            if file.tell() < position:
                raise CheckpointError(
                    f"{self.events_path} is shorter than when the state was saved: expected at least {position} "
                    f"bytes, got {file.tell()}. Restore it, or delete {self.state_path.parent} to train from the start."
                )
            file.truncate(position)
        return state

    def _stored(self) -> dict[str, Any] | None:
        try:
            with open(self.state_path, "rb") as file, ZipFile(file) as archive:
                check_unpacked(file)
                harmed = archive.testzip()  # torch.load does not look at the checksums that torch.save wrote
            if harmed is not None:
                raise BadZipFile(f"the checksum of {harmed} is wrong")
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except DAMAGE as error:
            raise self._damaged(f"{error}".splitlines()[0] if f"{error}" else type(error).__name__) from error
        if not isinstance(state, dict) or not isinstance(state.get(_POSITION), int) or state[_POSITION] < 0:
            raise self._damaged("it was not written by a run")
        return state

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"The resumable state {self.state_path} cannot be read: {reason}. "
            f"Delete {self.state_path.parent} and resume: the run then trains from the start of its recipe."
        )


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise an `OutputExistsError` where `Run.create` would not put a run."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise OutputExistsError(
            f"{path} is already there. Resume it (--resume), give another path, or replace it with --overwrite."
        )
    if not (path / RECIPE).is_file():
        raise OutputExistsError(
            f"{path} is no run folder, so it is not replaced; give another path, or remove it first."
        )
    with Run.open(path).sole_writer():
        pass


def _swap(fresh: Path, path: Path, aside: Path) -> None:
    """Put ``fresh`` in the place of ``path``; the older one is deleted only when the newer stands."""
    if path.exists():
        path.rename(aside)
    fresh.rename(path)
    if aside.exists():
        shutil.rmtree(aside)
