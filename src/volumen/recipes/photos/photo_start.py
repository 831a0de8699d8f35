"""What a model of photographs starts from: weights from a file or a run, with what they were made to see."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from volumen.memory import out_of_memory
from volumen.models.checkpoint import read_origin
from volumen.models.encoders import measure_norms
from volumen.models.photo_encoder import CUSTOM
from volumen.run_folder import weights_file

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.models.photo_encoder import PhotoEncoder
    from volumen.models.standard import Standard
    from volumen.settings.photos import PhotoTraining

_MEASURED_BATCHES = 16  # to measure norm statistics on


def encoder_of(settings: PhotoTraining, encoder: str | None) -> dict[str, Any]:
    """Return which encoder to build, as its weights' file says, else as the settings do.

    Weights of others are taken for ImageNet's; segmenters of volumen, which say nothing of it, saw images as they are.

    Parameters
    ----------
    encoder
        A file of weights, a run, or None for random weights.

    Returns
    -------
    dict
        ``encoder_name``, ``width`` and ``standard``, for `volumen.models.photo_encoder.build_photo_encoder`.
    """
    origin = _origin(encoder)
    held = _held(origin)
    named = CUSTOM if held.get("model") == CUSTOM else held.get("encoder_name", settings.encoder_name)
    return {"encoder_name": named, "width": held.get("width", 1.0), "standard": _standard(origin)}


def standard_of(encoder: str | None) -> Standard:
    """Return how images are brought to what an encoder was made to see, as `encoder_of` says."""
    return _standard(_origin(encoder))


def _origin(encoder: str | None) -> dict[str, Any]:
    return read_origin(weights_file(encoder)) if encoder is not None else {}


def _held(origin: dict[str, Any]) -> dict[str, Any]:
    """Return the architecture that a header names, whatever kind of model it is of."""
    return next((dict(origin[kind]) for kind in ("tagger", "encoder", "architecture") if kind in origin), {})


def _standard(origin: dict[str, Any]) -> Standard:
    usual = "none" if "architecture" in origin else "imagenet"
    return cast("Standard", _held(origin).get("standard", origin.get("standard", usual)))


def measure_photos(model: PhotoEncoder, photos: PhotoDataset, *, batch: int, fabric: Fabric) -> None:
    """Set the norm statistics of a model's encoder to those of some photographs, the model being on the device."""
    some = islice(photos.in_order(batch), _MEASURED_BATCHES)
    images = (model.seen(fabric.to_device(each["image"])) for each in some)
    with out_of_memory("norms were measured", "Use a smaller batch, or a smaller input size."):
        measure_norms(model.encoder, ((image,) for image in images))
