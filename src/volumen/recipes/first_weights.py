"""First weights: those that a training starts from, out of a file or a run: taken, checked, told and told apart."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.models.checkpoint import load_encoder
from volumen.run_folder import weights_file

if TYPE_CHECKING:
    from torch import nn


def take_encoder(model: nn.Module, path: str | None, *, least: float = 0.5, adapt_channels: bool = False) -> list[str]:
    """Put weights into a model's encoder, in place, and return what people should be told of it.

    Parameters
    ----------
    model
        A model with an ``encoder``, or an encoder.
    path
        A weight file, or a run, which stands for its best weights; None leaves the model as it is.
    least
        Least share of the encoder's numbers that the file must hold, in [0, 1].
    adapt_channels
        As for `volumen.models.transplant.load_encoder`.

    Raises
    ------
    SourceNotFoundError
        There is no such file, or the run has none yet.
    CheckpointError
        The weights cannot be read safely, or are those of another encoder.
    """
    if path is None:
        return []
    report = load_encoder(model, weights_file(path), adapt_channels=adapt_channels)
    report.check(path, least=least)
    return [f"Encoder weights from {path}: {report}."]


def first_digests(settings: Any) -> dict[str, str]:
    """Return the SHA-256 of the weight files that a training starts from, by setting, of those that are there."""
    given = {name: getattr(settings, name, None) for name in ("encoder", "start")}
    files = {name: weights_file(path) for name, path in given.items() if path is not None}
    return {name: digest(file) for name, file in files.items() if file.is_file()}


def digest(file: str | Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
