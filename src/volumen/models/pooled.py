"""PooledEncoder: an image as one vector, the mean over one of an encoder's maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from volumen.errors import CheckpointError, SettingsError
from volumen.models.checkpoint import load_encoder, read_origin
from volumen.models.unet import build_encoder

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from torch import Tensor

DEEPEST = 5
"""The encoder's map at stride 32; 1 is the one at stride 2."""

_NEEDED = ("encoder_name", "in_channels")


class PooledEncoder(nn.Module):
    """Map an image, NCHW in [0, 1], to vectors (N, channels).

    Parameters
    ----------
    encoder
        From NCHW to maps at strides 1 to 32, as `volumen.models.unet.build_encoder` makes it.
    architecture
        Arguments of `build_encoder` that make the encoder again.
    stage
        Which of its maps to pool, 1 to 5.

    Examples
    --------
    >>> import torch
    >>> pooled = PooledEncoder(build_encoder("resnet18", 4), {"encoder_name": "resnet18", "in_channels": 4}).eval()
    >>> pooled.channels, pooled(torch.zeros(2, 4, 64, 64)).shape
    (512, torch.Size([2, 512]))
    """

    def __init__(self, encoder: nn.Module, architecture: Mapping[str, Any], stage: int = DEEPEST) -> None:
        super().__init__()
        if not 1 <= stage <= DEEPEST:
            raise SettingsError(f"An encoder has maps 1 to {DEEPEST}, at strides 2 to 32; got {stage}.")
        self.encoder = encoder
        self.architecture = dict(architecture)
        self.stage = stage

    @property
    def channels(self) -> int:
        """Numbers in a vector."""
        channels: list[int] = list(self.encoder.out_channels)  # type: ignore[arg-type]
        return channels[self.stage]

    def forward(self, image: Tensor) -> Tensor:
        """Return vectors (N, channels)."""
        features: Tensor = self.encoder(image)[self.stage]
        return features.mean(dim=(2, 3))


def load_pooled(
    path: str | os.PathLike[str],
    *,
    stage: int = DEEPEST,
    encoder_name: str | None = None,
    in_channels: int | None = None,
    least_loaded: float = 0.5,
) -> tuple[PooledEncoder, dict[str, Any]]:
    """Build the encoder that a file of weights holds: an encoder alone, a checkpoint, or weights of others.

    Parameters
    ----------
    path
        Weight file.
    stage
        Which map to pool.
    encoder_name, in_channels
        What to build where the file does not say it; a file that says otherwise is refused.
    least_loaded
        Least share of the encoder that the file must hold.

    Returns
    -------
    tuple
        The encoder, on the CPU in evaluation mode, and what the file says of itself (empty for those of others).

    Raises
    ------
    SourceNotFoundError
        There is no such file.
    CheckpointError
        It cannot be read safely, holds another kind of encoder, does not say which, or fits too little.
    """
    origin = read_origin(path)
    told = origin.get("encoder") or origin.get("architecture") or {}
    if origin and not set(_NEEDED) <= set(told):
        raise CheckpointError(
            f"{path} holds no encoder of images (its header says {told or sorted(origin)}); give one that `volumen "
            "pretrain spark` or `volumen finetune` made."
        )
    given = {"encoder_name": encoder_name, "in_channels": in_channels}
    architecture: dict[str, Any] = {name: told.get(name, given[name]) for name in _NEEDED}
    if None in architecture.values():
        raise CheckpointError(f"{path} does not say which encoder it holds; give --encoder-name and --layers.")
    wrong = [name for name in told if given.get(name) not in (None, told[name])]
    if wrong:
        name = wrong[0]
        flag = {"encoder_name": "--encoder-name", "in_channels": "--layers"}[name]
        raise CheckpointError(
            f"{path} holds an encoder with {name} {told[name]}; {given[name]} was asked for. Leave {flag} out."
        )
    encoder = build_encoder(**architecture)
    load_encoder(encoder, path).check(path, least=least_loaded)
    return PooledEncoder(encoder, architecture, stage).eval(), origin
