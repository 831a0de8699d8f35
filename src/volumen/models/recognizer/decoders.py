"""Decoders by name, each as wide as the recogniser below it."""

from __future__ import annotations

from typing import Literal, get_args

from volumen.errors import SettingsError
from volumen.models.recognizer.attention import AttentionDecoder
from volumen.models.recognizer.ctc import CtcDecoder
from volumen.models.recognizer.transformer import TransformerDecoder

DecoderName = Literal["ctc", "bilstm_ctc", "attention", "transformer"]

_HIDDEN = 256  # at width 1
_LEAST = 16


def build_decoder(
    name: DecoderName, features: int, classes: int, *, width: float = 1.0
) -> CtcDecoder | AttentionDecoder | TransformerDecoder:
    """Build a decoder with random weights.

    Parameters
    ----------
    name
        ``ctc``, ``bilstm_ctc``, ``attention`` or ``transformer``.
    features
        F of the frames that it reads.
    classes
        Characters, and one more for the index that is none.
    width
        Share of the full width, 256, inside a decoder; nothing to plain CTC, which has no inside.

    Raises
    ------
    SettingsError
        If there is no such decoder, or a number does not fit.

    Examples
    --------
    >>> build_decoder("transformer", 64, 80, width=0.25).hidden
    64
    """
    hidden = max(round(_HIDDEN * width / _LEAST), 1) * _LEAST
    match name:
        case "ctc":
            return CtcDecoder(features, classes)
        case "bilstm_ctc":
            return CtcDecoder(features, classes, hidden=hidden)
        case "attention":
            return AttentionDecoder(features, classes, hidden=hidden)
        case "transformer":
            return TransformerDecoder(features, classes, hidden=hidden)
    raise SettingsError(f"Decoders are {', '.join(get_args(DecoderName))}; got {name!r}.")
