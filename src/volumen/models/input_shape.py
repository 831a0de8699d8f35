"""check_shape: whether an image is one that a segmentation model can take, said before its first layer fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor


def check_shape(image: Tensor, in_channels: int, stride: int) -> None:
    """See that an image is N × ``in_channels`` × H × W, and H and W are multiples of ``stride`` px.

    A module whose forward calls this says ``torch.fx.wrap("check_shape")``, so that its data flow can be traced.

    Raises
    ------
    SettingsError
        If it is not.
    """
    if image.ndim != 4 or image.shape[1] != in_channels:
        raise SettingsError(
            f"This model sees {in_channels} layers and expects an image N × {in_channels} × H × W; "
            f"got shape {tuple(image.shape)}. Choose as many layers as it was built for."
        )
    height, width = image.shape[2:]
    if height % stride or width % stride:
        up = (-(-height // stride) * stride, -(-width // stride) * stride)
        raise SettingsError(
            f"Height and width of a model's input must be multiples of {stride}; got {height} x {width}. "
            f"Pad or cut it, for example to {up[0]} x {up[1]}."
        )
