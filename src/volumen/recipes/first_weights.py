"""take_encoder: the weights that a training starts its encoder from, out of a file or a run, checked and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
