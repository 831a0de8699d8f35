"""Tagger checkpoint: one .safetensors file with an encoder of photographs, its head, and the tags that it knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.errors import CheckpointError, SettingsError
from volumen.models.checkpoint import read_origin, rebuild, write_weights
from volumen.models.photo_encoder import PhotoEncoder, build_photo_encoder
from volumen.models.weights import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = "tagger"


def save_tagger(path: str | os.PathLike[str], tagger: PhotoEncoder, header: Mapping[str, Any]) -> None:
    """Write a tagger, or an encoder with an embedding above it, and its header to one file, whole or not at all.

    The encoder's keys stand under ``encoder.``: the file serves as the encoder of another training as it is.

    Parameters
    ----------
    path
        File to write; what stood there is replaced once the new one is complete.
    tagger
        From whatever device.
    header
        ``tags``, one for each of its outputs (none of an embedding), and what else
        `volumen.models.checkpoint.Header` lists.

    Raises
    ------
    SettingsError
        If the tags are not those of the outputs, or the header holds what JSON cannot.
    OutOfSpaceError
        If the disk is full.
    """
    tags, outputs = header.get("tags"), 0 if tagger.head_name == "embedding" else tagger.outputs
    if not isinstance(tags, list) or len(tags) != outputs:
        raise SettingsError(f"A tagger is written with a tag for each of its outputs, {outputs}; got {tags!r}.")
    write_weights(Path(path), tagger, {**header, _KEY: tagger.architecture})


def load_tagger(path: str | os.PathLike[str]) -> tuple[PhotoEncoder, dict[str, Any]]:
    """Build the tagger that a checkpoint holds.

    Returns
    -------
    tuple
        The tagger, on the CPU in evaluation mode, and the header (see `volumen.models.checkpoint.Header`).

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    CheckpointError
        If it is damaged, holds something else, or a pickle (which is never opened).
    """
    tensors, _ = read_safetensors(path)
    header = read_origin(path)
    if not isinstance(header.get(_KEY), dict) or not isinstance(header.get("tags"), list):
        raise CheckpointError(
            f"{os.fspath(path)} holds no tagger of photographs; one is made by `volumen train tagger PHOTOS --out RUN`."
        )
    return rebuild(path, tensors, header, _KEY, build_photo_encoder), header
