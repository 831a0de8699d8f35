"""The image files of lists and folders: found, told by their endings, and named by their stems."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from volumen.errors import SourceNotFoundError
from volumen.sources.arrays.images import PICTURES, TIFFS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.sources.location import Location


def files_below(folder: Location, expected: str) -> list[str]:
    """Return the paths of all files in a folder and those inside it, from it on, sorted; hidden ones left out.

    A remote folder gives only what lies in itself.

    Parameters
    ----------
    folder
        Where to look.
    expected
        What should be there, for the error.

    Raises
    ------
    SourceNotFoundError
        When there is no such folder, or nothing in it.
    """
    found = _walked(Path(folder.path)) if folder.local else list(folder.listing() or ())
    files = sorted(name for name in found if not any(part.startswith(".") for part in PurePosixPath(name).parts))
    if not files:
        raise SourceNotFoundError(f"There are no files in {folder}; expected {expected}.")
    return files


def is_image(file: str) -> bool:
    """Whether a file is an image that can be read, by its ending."""
    return PurePosixPath(file).suffix.lower() in (*PICTURES, *TIFFS)


def distinct(files: Sequence[str]) -> list[str]:
    """Return the stems of paths, or the paths themselves where stems are alike: names of lines or photographs.

    Examples
    --------
    >>> distinct(["a/0.png", "a/1.png"]), distinct(["a/0.png", "b/0.png"])
    (['0', '1'], ['a/0.png', 'b/0.png'])
    """
    stems = [PurePosixPath(file).stem for file in files]
    return stems if len(set(stems)) == len(stems) else list(files)


def _walked(root: Path) -> list[str]:
    return [(Path(parent) / name).relative_to(root).as_posix() for parent, _, names in os.walk(root) for name in names]
