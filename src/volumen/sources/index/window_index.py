"""WindowIndex: vectors of windows of segments on disk, added segment by segment, resumable after a kill.

The folder holds what any program can read::

    index.json               kind, version, and `embedding`: all that decides a vector
    encoder.safetensors      the encoder, as it made the vectors; whoever creates the index puts it there
    parts/0001-NAME-HASH/    a segment, or a region of one; parts/….unfinished while it is being made
        job.json             what it is: segment, layers, region, mask, number of windows (see `Journal`)
        done                 a byte a batch of windows, 1 once its vectors are written
        windows.npy          int32 (windows, 2): y and x of each window's top left pixel, row by row
        vectors.npy          float16 or float32 (windows, channels), in the same order
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.plain_json import parse_object
from volumen.sources.arrays.stacked import StackedRows
from volumen.sources.index.index_part import UNFINISHED, IndexPart, begin_part
from volumen.whole_files import out_of_space

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

ENCODER = "encoder.safetensors"
"""File of the encoder in an index."""

_HEADER = "index.json"
_KIND, _VERSION = "window_index", 1
_APART = ("region", "windows")  # two parts of one segment may differ in these


@dataclass(frozen=True, eq=False)
class WindowIndex:
    """An index: what decided its vectors, and its finished parts in the order in which they were begun."""

    path: Path
    embedding: Mapping[str, Any]
    parts: tuple[IndexPart, ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> WindowIndex:
        """Open an index to search it or to add to it.

        Raises
        ------
        SourceNotFoundError
            There is none.
        SourceError
            It is damaged, or of another version.
        """
        path = Path(path)
        try:
            header = parse_object((path / _HEADER).read_bytes())
            kind, version, embedding = header["kind"], header["version"], dict(header["embedding"])
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise SourceNotFoundError(f"Expected an index, a folder with {_HEADER}; {path} is none.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{path / _HEADER} is damaged ({error}); make the index again.") from error
        if (kind, version) != (_KIND, _VERSION):
            raise SourceError(
                f"{path} is a {kind} of version {version}; expected {_KIND} of version {_VERSION}; make it again."
            )
        for name in ("window", "channels"):
            if not isinstance(embedding.get(name), int) or not 1 <= embedding[name] < 2**31:
                raise SourceError(
                    f"{path / _HEADER} is damaged: {name} is {embedding.get(name)!r}. Make the index again."
                )
        folders = sorted(each for each in (path / "parts").glob("*") if each.is_dir())
        parts = tuple(IndexPart.open(each) for each in folders if not _is_draft(each))
        other = next((part.folder for part in parts if part.vectors.shape[1] != embedding["channels"]), None)
        if other is not None:
            raise SourceError(f"{other} is of another index than {path / _HEADER}; remove it, and index it again.")
        return cls(path, embedding, parts)

    @property
    def window(self) -> int:
        """Side of a window in pixels."""
        return int(self.embedding["window"])

    @property
    def vectors(self) -> StackedRows:
        """The vectors of all parts as one array, read when it is sliced."""
        return StackedRows(tuple(part.vectors for part in self.parts), int(self.embedding["channels"]))

    def find(self, row: int) -> tuple[IndexPart, int]:
        """Return the part that a row of `vectors` is of, and which of its windows."""
        for part in self.parts:
            if row < len(part.corners):
                return part, row
            row -= len(part.corners)
        raise SettingsError("The index holds fewer windows.")

    def part(self, job: Mapping[str, Any], corners: NDArray[np.int32]) -> IndexPart:
        """Return the part that is this job, finished or not; begin it where there is none.

        Raises
        ------
        SettingsError
            The segment is there already, but not the same: other layers, another mask or size.
        """
        job = json.loads(json.dumps({**job, "windows": len(corners)}))  # as it will be read back
        known = _decisive(job)
        for found in (*self.parts, *map(IndexPart.open, self._unfinished())):
            theirs = _decisive(found.job)
            if theirs == known:
                return found
            differing = [name for name in known if theirs.get(name) != known[name] and name not in _APART]
            if found.name == job["segment"]["name"] and differing:
                raise SettingsError(
                    f"{self.path} holds {found.name} already, with other {', '.join(differing)}: "
                    f"{[theirs.get(name) for name in differing]}, now {[known[name] for name in differing]}. "
                    "Index it as before, or into another folder."
                )
        return self._begin(job, known, np.asarray(corners, dtype=np.int32).reshape(-1, 2))

    def _unfinished(self) -> list[Path]:
        # a name that begins with a dot is of a part that was only being laid out when its process was killed
        return sorted((self.path / "parts").glob(f"[!.]*{UNFINISHED}"))

    def _begin(self, job: Mapping[str, Any], known: Mapping[str, Any], corners: NDArray[np.int32]) -> IndexPart:
        number = 1 + max((int(each.name[:4]) for each in (self.path / "parts").glob("[0-9]" * 4 + "-*")), default=0)
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", str(job["segment"]["name"]))[:60]
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:8]
        folder = self.path / "parts" / f"{number:04d}-{name}-{digest}{UNFINISHED}"
        numbers = np.dtype(str(self.embedding["numbers"]))
        return begin_part(folder, job, corners, channels=int(self.embedding["channels"]), numbers=numbers)


def create_index(
    path: str | os.PathLike[str], embedding: Mapping[str, Any], save_encoder: Callable[[Path], object]
) -> WindowIndex:
    """Create an index without parts, whole or not at all.

    Parameters
    ----------
    path
        Folder to make.
    embedding
        All that decides a vector: ``window`` (px), ``channels``, ``numbers`` (float16 or float32), and what else the
        embedder needs to be made again. Plain values.
    save_encoder
        Writes the encoder to the path that it is called with.

    Raises
    ------
    OutputExistsError
        Something is at ``path``.
    """
    path = Path(path)
    if path.exists():
        raise OutputExistsError(f"{path} is already there and is no index; give another path, or remove it first.")
    draft = path.with_name(f".{path.name}.draft")
    header = {"kind": _KIND, "version": _VERSION, "embedding": dict(embedding)}
    with out_of_space(path):
        shutil.rmtree(draft, ignore_errors=True)
        (draft / "parts").mkdir(parents=True)
        save_encoder(draft / ENCODER)
        (draft / _HEADER).write_text(json.dumps(header, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)
    return WindowIndex.open(path)


def find_indices(folder: Path) -> list[Path]:
    """Return the indices directly below a folder, the latest first, unread; none where there is no such folder."""
    try:
        found = [(each.stat().st_mtime, each.parent) for each in folder.glob(f"[!.]*/{_HEADER}")]
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)]


def _decisive(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes two parts the same: where a segment was read from, and in which batches, does not."""
    return {name: job[name] for name in sorted(job) if name not in ("source", "batch")}


def _is_draft(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name.endswith(UNFINISHED)
