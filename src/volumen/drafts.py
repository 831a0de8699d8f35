"""Drafts: hidden names beside an output, for what is to take its place or had it; a kill's are removed by the next."""

from __future__ import annotations

import glob
import re
import shutil
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MARK = re.compile(r"[0-9a-f]{32}")


def draft_of(path: Path) -> Path:
    """Return a name beside an output that nobody has, after removing what killed processes left under such names.

    Examples
    --------
    >>> from pathlib import Path
    >>> draft_of(Path("no_such_folder/ink.zarr")).name[:10]
    '.ink.zarr.'
    """
    clear_drafts(path)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def output_of(path: Path) -> Path:
    """Return the output that a name of `draft_of` stands for, and any other path as it is.

    Examples
    --------
    >>> from pathlib import Path
    >>> output_of(draft_of(Path("no_such_folder/ink.zarr"))).name, output_of(Path("ink.zarr")).name
    ('ink.zarr', 'ink.zarr')
    """
    name, _, mark = path.name.removeprefix(".").rpartition(".")
    return path.with_name(name) if name and path.name.startswith(".") and _MARK.fullmatch(mark) else path


def clear_drafts(path: Path) -> None:
    """Remove what killed processes left under names of `draft_of`; one process at a time may write an output."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if not _MARK.fullmatch(left.name.rpartition(".")[2]) or left.name.count(".") != path.name.count(".") + 2:
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
