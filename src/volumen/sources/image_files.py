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


FOREIGN_IMAGE = "image that is no PNG, JPEG or TIFF"
NAME_NOT_UTF8 = "file name not in UTF-8"

_FOREIGN = (".bmp", ".gif", ".heic", ".jp2", ".pbm", ".pgm", ".pnm", ".ppm", ".webp")


def files_below(folder: Location, expected: str) -> list[str]:
    """Return the paths of all files in a folder and those inside it, from it on, sorted; hidden ones left out.

    Links are followed, each folder once. A remote folder gives only what lies in itself.

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


def is_foreign(file: str) -> bool:
    """Whether a file is an image of a kind that cannot be read, by its ending."""
    return PurePosixPath(file).suffix.lower() in _FOREIGN


def distinct(files: Sequence[str]) -> list[str]:
    """Return the stems of paths, or the paths themselves where stems are alike: names of lines or photographs.

    Examples
    --------
    >>> distinct(["a/0.png", "a/1.png"]), distinct(["a/0.png", "b/0.png"])
    (['0', '1'], ['a/0.png', 'b/0.png'])
    """
    stems = [PurePosixPath(file).stem for file in files]
    return stems if len(set(stems)) == len(stems) else list(files)


def in_utf8(file: str) -> bool:
    """Whether a path can be written down: one that is not in UTF-8 comes from the disk with halves of characters."""
    try:
        file.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walked(root: Path) -> list[str]:
    found: list[str] = []
    entered: set[str] = set()
    for parent, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in entered:  # a link that leads to where one has been
            folders.clear()
            continue
        entered.add(real)
        found += [(Path(parent) / name).relative_to(root).as_posix() for name in names]
    return found
