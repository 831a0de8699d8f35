"""InkWork: what a prediction of ink needs in the process that computes it, opened there once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from volumen.errors import CheckpointError
from volumen.models.checkpoint import PHOTOS
from volumen.models.unet import STRIDE
from volumen.prediction.averaging import BothDirections, Mirrored
from volumen.prediction.cells import cell_size
from volumen.prediction.scaled import Scaled
from volumen.prediction.stream import Opened
from volumen.recipes.ink_model import load_model
from volumen.recipes.opening import open_all
from volumen.recipes.photos.seen_scale import seen_scale
from volumen.sources.decoded import decoded_at_once
from volumen.training.devices import limit_memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from volumen.prediction.stream import Predictor
    from volumen.recipes.ink_model import InkModel
    from volumen.settings import Predict
    from volumen.sources.segment import Segment
    from volumen.training.devices import Device, Precision


@dataclass(frozen=True, kw_only=True)
class InkWork:
    """Opens model and segment in whichever process calls it; a process keeps what it opened last.

    Parameters
    ----------
    settings
        With paths in full, and the device that was chosen.
    digest
        Of the checkpoint with which the map was begun.
    run
        Tells this run from others, so that a process opens the segment afresh for each.
    """

    settings: Predict
    digest: str
    run: str

    def __call__(self) -> Opened:
        """Load, or return what is loaded.

        Raises
        ------
        CheckpointError
            The file at the checkpoint's path is another by now.
        """
        return _opened(self)


def open_source(settings: Predict, header: Mapping[str, Any]) -> Segment:
    """Open the segment, or the photograph, as it lies on disk."""
    return open_all((settings.segment,), settings, colours=PHOTOS in header)[0]


def ready(model: InkModel, segment: Segment, settings: Predict) -> Opened:
    """Return what predicts a segment, and what reads it in the direction that is asked for."""
    scale = seen_scale(model.header, segment)
    predictor: Predictor = model if scale is None else Scaled(model=model, scale=scale, stride=STRIDE)
    if settings.direction == "both":
        predictor = BothDirections(predictor)
    if settings.mirror:
        predictor = Mirrored(predictor)
    turned = segment.reversed() if settings.direction == "reverse" else segment
    return Opened(predictor, turned.read, cell_size(decoded_at_once(segment)[1:]))


@lru_cache(maxsize=1)
def _opened(work: InkWork) -> Opened:
    settings = work.settings
    limit_memory(settings.device, settings.memory_fraction)
    model = _loaded(settings.checkpoint, work.digest, settings.device, settings.precision)
    return ready(model, open_source(settings, model.header), settings)


@lru_cache(maxsize=1)
def _loaded(path: str, digest: str, device: Device, precision: Precision) -> InkModel:
    model = load_model(path, device=device, precision=precision)
    if model.digest != digest:
        raise CheckpointError(f"{path} is not the file that the map was begun with; start again.")
    return model
