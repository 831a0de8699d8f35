"""Reader checkpoint: one .safetensors file with a reader's weights, its alphabet and the form of its images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.errors import CheckpointError, SettingsError
from volumen.models.checkpoint import read_origin, rebuild, write_weights
from volumen.models.recognizer.reader import Reader
from volumen.models.weights import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping


def save_reader(path: str | os.PathLike[str], reader: Reader, header: Mapping[str, Any]) -> None:
    """Write a reader and its header to one file, whole or not at all.

    Parameters
    ----------
    path
        File to write; what stood there is replaced once the new one is complete.
    reader
        From whatever device.
    header
        ``alphabet`` and ``form`` at least, and what else `volumen.models.checkpoint.Header` lists.

    Raises
    ------
    SettingsError
        If the header lacks either, holds what JSON cannot, or the alphabet is not the reader's.
    OutOfSpaceError
        If the disk is full.
    """
    characters, classes = header.get("alphabet"), reader.architecture["classes"]
    if not isinstance(characters, list) or len(characters) + 1 != classes or not isinstance(header.get("form"), dict):
        raise SettingsError(
            f"A reader of {classes} classes is written with its form and its alphabet of {classes - 1} characters; "
            f"got {header.get('form')!r} and {characters!r}."
        )
    write_weights(Path(path), reader, {**header, "reader": reader.architecture})


def load_reader(path: str | os.PathLike[str]) -> tuple[Reader, dict[str, Any]]:
    """Build the reader that a checkpoint holds.

    Returns
    -------
    tuple
        The reader, on the CPU in evaluation mode, and the header (see `volumen.models.checkpoint.Header`).

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    CheckpointError
        If it is damaged, holds something else, or a pickle (which is never opened).
    """
    tensors, _ = read_safetensors(path)
    header = read_origin(path)
    characters, form = header.get("alphabet"), header.get("form")
    if not isinstance(header.get("reader"), dict) or not isinstance(characters, list) or not isinstance(form, dict):
        held = "an encoder" if "encoder" in header else "an ink model" if "architecture" in header else "other weights"
        raise CheckpointError(
            f"{os.fspath(path)} holds {held}, not a reader of lines. A reader is made by `volumen train reader LINES "
            + (f"--encoder {os.fspath(path)} --out RUN`." if "encoder" in header else "--out RUN`.")
        )
    reader = rebuild(path, tensors, header, "reader", Reader)
    if len(characters) + 1 != reader.architecture["classes"]:
        raise CheckpointError(
            f"The alphabet in {os.fspath(path)} has {len(characters)} characters, its weights know "
            f"{reader.architecture['classes'] - 1}: the file is damaged."
        )
    return reader, header
