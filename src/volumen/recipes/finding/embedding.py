"""Embedding: how an index makes vectors of windows, decided once, kept in the index, the same for every segment."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from volumen.crops.normalize import Normalization
from volumen.crops.papyrus_windows import papyrus_corners
from volumen.crops.region import cut_out
from volumen.crops.select import centre_layers, spread
from volumen.errors import SettingsError
from volumen.memory import out_of_memory
from volumen.models.checkpoint import save_encoder
from volumen.models.encoders import measure_norms
from volumen.models.pooled import load_pooled
from volumen.prediction.forward import Forward
from volumen.recipes.first_weights import digest
from volumen.run_folder import weights_file
from volumen.sources.decoded import read_windows
from volumen.sources.index.window_index import ENCODER, WindowIndex, create_index
from volumen.training.devices import pick_device
from volumen.windows import Window

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from volumen.models.pooled import PooledEncoder
    from volumen.settings import Index
    from volumen.sources.segment import Segment
    from volumen.windows import Range

_BATCH = 16
_MEASURED_WINDOWS = 256  # to measure norm statistics on, and to fit a normalisation on


def begin_index(path: Path, settings: Index, segment: Segment) -> WindowIndex:
    """Make an index for the encoder that the settings name; what has to be measured is, on the segment and here."""
    file = weights_file(settings.encoder)
    asked = settings.layers[1] - settings.layers[0] if isinstance(settings.layers, tuple) else settings.layers
    pooled, origin = load_pooled(file, stage=settings.stage, encoder_name=settings.encoder_name, in_channels=asked)
    layer_count = int(pooled.architecture["in_channels"])
    embedding: dict[str, Any] = {
        **_asked(settings),
        "encoder": settings.encoder,
        "architecture": pooled.architecture,
        "channels": pooled.channels,
        "layer_count": layer_count,
        "surface_offset": int(origin.get("surface_offset", -(layer_count // 2))),
        "norms": _norms(settings, origin),
        "volumen": version("volumen"),
    }
    some = _some(settings, embedding, segment)
    if "normalization" in origin:
        normalization = Normalization.from_dict(origin["normalization"])
    else:
        normalization = Normalization.fit(settings.normalization, some, outside=settings.outside)
        embedding["fitted"] = _fitted(settings)
    embedding["normalization"] = normalization.to_dict()
    if embedding["norms"] == "measured":
        device = pick_device(settings.device)
        batches = (np.stack(some[start : start + _BATCH]) for start in range(0, len(some), _BATCH))  # ZYX -> NCHW
        with out_of_memory("norms were measured", "Take smaller windows (--window), or another device."):
            encoder = pooled.encoder.to(device)
            measure_norms(encoder, ((torch.from_numpy(normalization(batch)).to(device),) for batch in batches))
            encoder.cpu()
    return create_index(path, embedding, lambda place: _save(place, pooled, embedding))


def check_same(index: WindowIndex, settings: Index) -> None:
    """Raise a `SettingsError` where settings ask for other vectors than an index holds."""
    now = _asked(settings)
    if settings.norms != "auto":
        now["norms"] = settings.norms
    if "fitted" in index.embedding:
        now["fitted"] = _fitted(settings)
    changed = [
        f"{name} was {index.embedding.get(name)!r}, now {value!r}"
        for name, value in now.items()
        if index.embedding.get(name) != value
    ]
    if changed:
        raise SettingsError(
            f"{index.path} was begun otherwise: {'; '.join(changed)}. Give the same again, another path or --overwrite."
        )


def load_embedder(index: WindowIndex, *, device: str, precision: str) -> Forward:
    """Return what makes an index's vectors: its ``plain`` maps voxels (N, layers, H, W) to (N, channels)."""
    pooled, _ = load_pooled(index.path / ENCODER, stage=int(index.embedding["stage"]))
    place = pick_device(device)  # type: ignore[arg-type]
    if precision == "auto":
        precision = "16" if place == "cuda" else "32"
    normalization = Normalization.from_dict(index.embedding["normalization"])
    return Forward(pooled, normalization=normalization, device=place, precision=precision)  # type: ignore[arg-type]


def layers_of(embedding: dict[str, Any], segment: Segment, layers: int | tuple[int, int] | None) -> Range:
    """Return the half-open range of layers to read of a segment: those given, else as far from its surface as known."""
    count = int(embedding["layer_count"])
    start = segment.depth // 2 + int(embedding["surface_offset"])
    chosen = centre_layers(segment.depth, (start, start + count) if layers is None else layers)
    if chosen[1] - chosen[0] != count:
        raise SettingsError(f"The encoder sees {count} layers; got {chosen[0]}:{chosen[1]}. Choose as many, or none.")
    return chosen


def _asked(settings: Index) -> dict[str, Any]:
    """Return what the settings say of vectors, whatever the encoder says of itself."""
    return {
        "digest": digest(weights_file(settings.encoder)),
        "stage": settings.stage,
        "window": settings.window,
        "stride": settings.window_stride,
        "numbers": settings.numbers,
    }


def _fitted(settings: Index) -> list[str]:
    """Return how voxels are normalised where the encoder does not say."""
    return [settings.normalization, settings.outside]


def _norms(settings: Index, origin: dict[str, Any]) -> str:
    if settings.norms != "auto":
        return settings.norms
    return "measured" if "encoder" in origin else "kept"


def _some(settings: Index, embedding: dict[str, Any], segment: Segment) -> list[NDArray[Any]]:
    """Read windows spread over a segment, or over the region of it, ZYX."""
    layers = layers_of(embedding, segment, settings.layers)
    corners = corners_of(settings, segment, layers)
    side = settings.window
    chosen = spread(range(len(corners)), _MEASURED_WINDOWS)
    places = ((int(corners[row][0]), int(corners[row][1])) for row in chosen)
    return list(read_windows(segment, [Window(layers, (y, y + side), (x, x + side)) for y, x in places]))


def corners_of(settings: Index, segment: Segment, layers: Range) -> NDArray[Any]:
    """Return the corners of the windows to index, int32 (windows, 2)."""
    within = cut_out(segment, segment.window.layers(*layers), settings.region)
    return papyrus_corners(
        segment, within, side=settings.window, stride=settings.window_stride, least=settings.min_papyrus
    )


def _save(path: Path, pooled: PooledEncoder, embedding: dict[str, Any]) -> None:
    header = {name: embedding[name] for name in ("layer_count", "surface_offset", "normalization")}
    save_encoder(path, pooled.encoder, pooled.architecture, header)
