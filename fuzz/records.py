"""Records: what fuzzing has done so far, kept in a folder so that it goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCE = f"src{'/'}volumen"


@dataclass(kw_only=True)
class Count:
    """How far a harness is: inputs tried, seconds by clock and of the processor, branches reached, open faults.

    ``before`` is how many faults were found in earlier folders.
    """

    executions: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    edges: int = 0
    features: int = 0
    open: int = 0
    before: int = 0


@dataclass(frozen=True)
class Records:
    """The folder of one harness: ``corpus/``, ``crashes/`` and ``count.json``."""

    folder: Path

    @property
    def corpus(self) -> Path:
        """Inputs that reach what no other does."""
        return self._made("corpus")

    @property
    def crashes(self) -> Path:
        """Inputs that made a reader fail, one a fault, each with its traceback beside it."""
        return self._made("crashes")

    def count(self) -> Count:
        """Return how far it is."""
        path = self.folder / "count.json"
        return Count(**json.loads(path.read_text())) if path.exists() else Count()

    def write(self, count: Count) -> None:
        """Keep how far it is."""
        draft = self._made("") / "count.json.draft"
        draft.write_text(json.dumps(asdict(count)) + "\n")
        draft.replace(self.folder / "count.json")

    def faults(self) -> Iterator[tuple[str, bytes]]:
        """Yield the inputs that made the reader fail, by name."""
        for path in sorted(self.crashes.glob("*.bin")):
            yield path.stem, path.read_bytes()

    def keep(self, data: bytes, error: BaseException) -> bool:
        """Keep an input that made the reader fail, unless one is kept that fails in the same place; say if it was."""
        places = traceback.extract_tb(error.__traceback__)
        ours = [place for place in places if _SOURCE in place.filename]
        last = [(Path(place.filename).name, place.name) for place in (*ours[-1:], *places[-1:])]
        name = hashlib.sha256(repr((type(error).__name__, last)).encode()).hexdigest()[:12]
        path = self.crashes / f"{name}.bin"
        if path.exists():
            return False
        path.write_bytes(data)
        path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)), errors="backslashreplace")
        return True

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
