"""PhotoEncoder: an encoder of photographs under global average pooling, with a head above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from volumen.errors import SettingsError
from volumen.models.custom_unet import CustomEncoder
from volumen.models.standard import Standard, standardise
from volumen.models.unet import build_encoder

if TYPE_CHECKING:
    from torch import Tensor

Head = Literal["linear", "mlp", "embedding"]

CUSTOM = "custom_unet"
"""What the encoder of a `volumen.models.custom_unet.CustomUNet` is called."""

HIDDEN = 128
"""Width of the hidden layer of the head ``mlp``."""

_CHANNELS = 3


def build_photo_encoder(
    encoder_name: str, outputs: int, *, head: Head = "linear", standard: Standard = "imagenet", width: float = 1.0
) -> PhotoEncoder:
    """Build an encoder of photographs and its head with random weights; nothing is downloaded.

    Convolutions and linear layers begin as He et al. have them ("Delving Deep into Rectifiers", ICCV 2015), as smp's
    and torch's own do.

    Parameters
    ----------
    encoder_name
        As for `volumen.models.unet.build_encoder`, or ``custom_unet``: that of
        `volumen.models.custom_unet.CustomUNet`, whose bottleneck is pooled.
    outputs
        Numbers that the head gives for a photograph: a logit a tag or a class, or an embedding's length.
    head
        ``linear``; ``mlp``: `HIDDEN` wide with a ReLU, half of it dropped out while training; or ``embedding``: linear,
        then brought to the unit sphere.
    standard
        What the encoder sees of an image in [0, 1]: less the mean and over the deviation of ImageNet's channels, as
        the weights that are published for it were trained, or the image as it is.
    width
        Of ``custom_unet``.

    Raises
    ------
    SettingsError
        If there is no such encoder or head, or a head would give nothing.

    Examples
    --------
    >>> import torch
    >>> model = build_photo_encoder("resnet18", 128, head="embedding")
    >>> embeddings = model(torch.rand(2, 3, 64, 48))
    >>> embeddings.shape, embeddings.norm(dim=1).round(decimals=4).tolist()
    (torch.Size([2, 128]), [1.0, 1.0])
    """
    if encoder_name == CUSTOM:
        encoder: nn.Module = CustomEncoder(_CHANNELS, width=width)
    else:
        encoder = build_encoder(encoder_name, _CHANNELS)
    return PhotoEncoder(encoder, encoder_name=encoder_name, outputs=outputs, head=head, standard=standard, width=width)


class PhotoEncoder(nn.Module):
    """Map photographs, N3HW in [0, 1], to what a head gives for each, (N, outputs).

    Make one with `build_photo_encoder`.

    Attributes
    ----------
    encoder
        From an image to a list of feature maps, the deepest last. For ResNets its state-dict keys are those of timm
        and torchvision.
    head
        From the deepest map's mean over all places, (N, C), to the outputs.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        encoder_name: str,
        outputs: int,
        head: Head,
        standard: Standard,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if standard not in get_args(Standard):
            raise SettingsError(f"Images are standardised by {', '.join(get_args(Standard))}; got {standard!r}.")
        self.encoder = encoder
        self.encoder_name, self.outputs, self.head_name, self.standard = encoder_name, outputs, head, standard
        self.width = width
        channels: list[int] = list(encoder.out_channels)  # type: ignore[arg-type]
        self.head = _build_head(head, channels[-1], outputs)

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of `build_photo_encoder` that make this model again."""
        return {
            "encoder_name": self.encoder_name,
            "outputs": self.outputs,
            "head": self.head_name,
            "standard": self.standard,
            "width": self.width,
        }

    def seen(self, image: Tensor) -> Tensor:
        """Return what the encoder is shown of photographs, N3HW in [0, 1]."""
        if image.ndim != 4 or image.shape[1] != _CHANNELS:
            raise SettingsError(f"Expected photographs N3HW, red, green and blue; got shape {tuple(image.shape)}.")
        return standardise(image) if self.standard == "imagenet" else image

    def features(self, image: Tensor, *, maps: int = 1) -> Tensor:
        """Return the mean over all places of the deepest map, (N, C), or of several, side by side, each of length 1."""
        pooled = [each.mean(dim=(2, 3)) for each in self.encoder(self.seen(image))[-maps:]]  # NChw -> NC
        return pooled[0] if maps == 1 else torch.cat([F.normalize(each.float(), dim=1) for each in pooled], dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return what the head gives, (N, outputs)."""
        given: Tensor = self.head(self.features(image))
        return given


class Sphere(nn.Module):
    """Bring vectors (N, D) to length 1; their arithmetic runs in float32."""

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, D) of length 1."""
        return F.normalize(values.float(), dim=1)


def _build_head(name: Head, features: int, outputs: int) -> nn.Module:
    if outputs < 1:
        raise SettingsError(f"A head gives at least one number; got {outputs}.")
    match name:
        case "linear":
            return nn.Linear(features, outputs)
        case "mlp":
            return nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, outputs))
        case "embedding":
            return nn.Sequential(nn.Linear(features, outputs), Sphere())
    raise SettingsError(f"Heads are {', '.join(get_args(Head))}; got {name!r}.")
