"""Rescue: strokes that cannot be saved when painting ends wait in a file, and are put back at the next start."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from volumen.whole_files import whole_file
from volumen.windows import Window

if TYPE_CHECKING:
    from volumen.plugin.painted_window import PaintedWindow
    from volumen.sources.labels.painted import PaintedLabels


def rescue(window: PaintedWindow, source: str, folder: Path) -> Path:
    """Write the strokes of a window that are in memory only.

    Parameters
    ----------
    window
        What is painted on.
    source
        Path of the segment, by which they are found again.
    folder
        Where to write; the system's folder for temporary files, if that is full too.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        When neither takes it.
    """
    first, second = _places(source, folder)
    try:
        _write(first, window)
    except OSError:
        _write(second, window)
        return second
    return first


def put_back(labels: PaintedLabels, source: str, folder: Path) -> bool:
    """Write rescued strokes of a segment into its labels; say whether there were any.

    Raises
    ------
    OutOfSpaceError
        When they cannot be written still; they stay rescued.
    """
    found = False
    for path in _places(source, folder):
        if not path.exists():
            continue
        try:
            with np.load(path, allow_pickle=False) as kept:
                y0, y1, x0, x1 = (int(edge) for edge in kept["box"])
                classes, changed = kept["classes"], kept["changed"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # cut short; nothing in it can be trusted
            path.replace(path.with_suffix(".damaged"))
            continue
        window = Window((0, 1), (y0, y1), (x0, x1))
        if window.clip((1, *labels.shape)) != window:  # the segment has another size now; kept for a person to look at
            path.replace(path.with_suffix(".elsewhere"))
            continue
        labels.write(window, labels.read(window).repainted(classes), changed)
        found = True
        path.unlink()
    return found


def _places(source: str, folder: Path) -> tuple[Path, Path]:
    name = f"{hashlib.sha256(source.encode()).hexdigest()[:16]}.npz"
    return (folder / "unsaved" / name, Path(tempfile.gettempdir()) / "volumen-unsaved" / name)


def _write(path: Path, window: PaintedWindow) -> None:
    with whole_file(path) as draft, draft.open("wb") as file:  # a file, since to a name numpy adds an ending
        np.savez_compressed(
            file,
            box=np.array(window.window.box),
            classes=window.classes,
            changed=window.classes != window.saved,
        )
