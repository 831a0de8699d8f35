"""Reader: a recogniser and the decoder above it, from images of lines to text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import nn

from volumen.errors import SettingsError
from volumen.models.recognizer.decoders import DecoderName, build_decoder
from volumen.models.recognizer.recognizer import Recognizer

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.models.recognizer.decoder import Reading
    from volumen.models.recognizer.frames import Frames

FeatureName = Literal["contextual", "visual"]


class Reader(nn.Module):
    """Read lines: `Recognizer` and one of the decoders, random weights.

    Parameters
    ----------
    classes
        Characters, and one more for the index that is none: `volumen.crops.alphabet.Alphabet.classes`.
    decoder
        One of `volumen.models.recognizer.decoders.DecoderName`.
    features
        What the decoder reads: ``contextual`` frames H, or ``visual`` ones V, without the BiLSTM.
    width
        Share of the published channels.
    in_channels
        1 for grey.

    Raises
    ------
    SettingsError
        If there is no such decoder, there are no such features, or a number does not fit.

    Examples
    --------
    >>> reader = Reader(80, decoder="ctc", width=0.125).eval()
    >>> len(reader.read(torch.rand(2, 1, 32, 100), torch.tensor([100, 60])))
    2
    """

    def __init__(
        self,
        classes: int,
        *,
        decoder: DecoderName = "ctc",
        features: FeatureName = "contextual",
        width: float = 1.0,
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        if features not in get_args(FeatureName):
            raise SettingsError(f"Features are {' or '.join(get_args(FeatureName))}; got {features!r}.")
        self.architecture: dict[str, Any] = {
            "classes": classes,
            "decoder": decoder,
            "features": features,
            "width": width,
            "in_channels": in_channels,
        }
        self.recognizer = Recognizer(width, in_channels)
        seen = self.recognizer.features if features == "contextual" else self.recognizer.visual_features
        self.decoder = build_decoder(decoder, seen, classes, width=width)

    def frames(self, images: Tensor, widths: Tensor) -> Frames:
        """Return what the decoder reads; images and widths as for `ResNet29`."""
        see = getattr(self.recognizer, self.architecture["features"])
        frames: Frames = see(images, widths)
        return frames

    @torch.no_grad()
    def read(self, images: Tensor, widths: Tensor) -> list[Reading]:
        """Return the text of each line as indices of an alphabet. Call it in evaluation mode."""
        return self.decoder.read(self.frames(images, widths))
