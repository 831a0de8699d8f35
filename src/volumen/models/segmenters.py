"""build_segmenter: any model that maps an image to a map of logits, by its name."""

from __future__ import annotations

from typing import Any, Literal, get_args

from volumen.errors import SettingsError
from volumen.models.custom_unet import CustomUNet
from volumen.models.segnet import SimpleSegNet
from volumen.models.unet import Unet, build_unet

Segmenter = Unet | SimpleSegNet | CustomUNet
"""A model NCHW -> logits N × classes × H × W, with ``architecture``, ``in_channels`` and ``stride``."""

Name = Literal["unet", "simple_segnet", "custom_unet"]


def build_segmenter(model: str = "unet", **arguments: Any) -> Segmenter:
    """Build a model with random weights from what its ``architecture`` says; nothing is downloaded.

    Parameters
    ----------
    model
        ``unet`` (any encoder under a U-Net decoder), ``simple_segnet`` or ``custom_unet``. Checkpoints that do not
        say hold the first.
    arguments
        Of `volumen.models.unet.build_unet`, `SimpleSegNet` or `CustomUNet`.

    Raises
    ------
    SettingsError
        If there is no such model, or its arguments cannot be.

    Examples
    --------
    >>> build_segmenter("simple_segnet", width=0.25).architecture["model"]
    'simple_segnet'
    """
    match model:
        case "unet":
            return build_unet(**arguments)
        case "simple_segnet":
            return SimpleSegNet(**arguments)
        case "custom_unet":
            return CustomUNet(**arguments)
    raise SettingsError(f"Models are {', '.join(get_args(Name))}; got {model!r}.")
