"""Infer: a checkpoint and a segment, or a photograph, in, a map of probabilities out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.crops.normalize import Normalization
from volumen.crops.select import centre_layers
from volumen.errors import CheckpointError
from volumen.events import Finished, Saved, Started, Warned, relay
from volumen.models.checkpoint import PHOTOS, load_checkpoint
from volumen.models.fuse import fuse_norms
from volumen.models.unet import STRIDE
from volumen.prediction.averaging import BothDirections, Mirrored
from volumen.prediction.cells import cell_side
from volumen.prediction.forward import Forward
from volumen.prediction.plan import TilePlan
from volumen.prediction.scaled import Scaled
from volumen.prediction.tiles import predict_tiles
from volumen.recipes.mismatches import too_far, wrong_order
from volumen.recipes.opening import chunk_of, open_all
from volumen.recipes.photos.seen_scale import scaled_tile, seen_scale
from volumen.run_folder import weights_file
from volumen.sources.export import export_png, export_tiff
from volumen.sources.write import create_map
from volumen.training.devices import limit_memory, pick_device
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from volumen.events import Event
    from volumen.prediction.forward import Precision as Format
    from volumen.prediction.tiles import Predictor
    from volumen.settings import Predict
    from volumen.sources.segment import Segment
    from volumen.training.devices import Device, Precision


@dataclass(frozen=True, kw_only=True)
class InkModel:
    """A trained model, ready to use: voxels as they are on disk in, probabilities out.

    Parameters
    ----------
    header
        What the checkpoint says about itself, see `volumen.models.checkpoint.Header`.
    digest
        SHA-256 of the checkpoint file.
    device
        Where it computes.
    forward
        From voxels to probabilities.
    """

    header: Mapping[str, Any]
    digest: str
    device: str
    forward: Forward

    def __call__(self, voxels: NDArray[Any], /) -> NDArray[np.float32]:
        """Predict voxels (N, layers, H, W), H and W multiples of 32, to probabilities (N, H, W) in [0, 1]."""
        return self.forward(voxels)

    @property
    def layer_count(self) -> int:
        """How many layers it sees."""
        return int(self.header["layer_count"])

    def layers(self, depth: int) -> tuple[int, int]:
        """Return the half-open range of layers to read of a segment: as far from its surface as in training.

        Raises
        ------
        CheckpointError
            The segment does not have these layers.
        """
        start = depth // 2 + int(self.header["surface_offset"])
        if start < 0 or start + self.layer_count > depth:
            raise CheckpointError(
                f"The model sees {self.layer_count} layers, {start}:{start + self.layer_count} of this segment, which "
                f"has {depth}. Choose them with --layers, or take a model for fewer."
            )
        return (start, start + self.layer_count)


def load_model(path: str | Path, *, device: Device = "auto", precision: Precision = "auto") -> InkModel:
    """Load a checkpoint, or the best weights of a run folder, ready to predict with.

    ``auto`` takes cuda, else mps, else the CPU; its precision is 16 on cuda, where it is about twice as fast and
    accurate to the 8 bits of an ink map, and 32 elsewhere.

    Raises
    ------
    SourceNotFoundError
        There is no such file, or the run has no weights yet.
    CheckpointError
        It is damaged, no checkpoint of volumen, or a pickle, which is never opened.
    """
    file = weights_file(path)
    network, header = load_checkpoint(file)
    if "layer_count" not in header or "normalization" not in header:
        raise CheckpointError(f"{file} does not say which layers and normalisation its model needs.")
    place = pick_device(device)
    if precision == "auto":
        precision = "16" if place == "cuda" else "32"
    number_format: Format = precision
    forward = Forward(
        fuse_norms(network),
        normalization=Normalization.from_dict(header["normalization"]),
        device=place,
        precision=number_format,
    )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return InkModel(header=header, digest=digest, device=place, forward=forward)


def predict(settings: Predict) -> Iterator[Event]:
    """Predict ink over a segment, streamed to an OME-Zarr whose pyramid grows block by block.

    With a model of photographs, predict what it learned over a photograph, at native size; one that learned from whole
    photographs brought to one size is shown it at that scale, and its map is brought back to native size.

    Yields
    ------
    Event
        The last is `Finished` with ``path``, ``tiles``, ``skipped``, ``seconds``, ``pixels_per_second``, ``exports``.

    Raises
    ------
    CheckpointError
        The checkpoint cannot be used, or is for another number of layers.
    OutputExistsError
        The map is there already; ``resume`` goes on with it, ``overwrite`` replaces it.
    SettingsError
        Settings contradict each other, or those of the map that should be resumed.
    """
    limit_memory(pick_device(settings.device), settings.memory_fraction)
    model = load_model(settings.checkpoint, device=settings.device, precision=settings.precision)
    segment = open_all((settings.segment,), settings, colours=PHOTOS in model.header)[0]
    warnings = [wrong_order(model.header, segment)]
    segment = segment.reversed() if settings.direction == "reverse" else segment
    scale = seen_scale(model.header, segment)
    tile, overlap = scaled_tile(settings.tile, settings.overlap, scale)
    plan = TilePlan(
        volume=segment.shape,
        region=_region(settings, model, segment),
        tile=tile,
        overlap=overlap,
        tiling=settings.tiling,
        stride=STRIDE,
    )
    if PHOTOS not in model.header:
        warnings.append(too_far(model.header, plan))
    output = create_map(
        settings.out,
        shape=segment.shape[1:],
        settings={**_decisive(settings, model, segment, plan), **({} if scale is None else {"scale": list(scale)})},
        provenance=_provenance(settings, model, segment),
        voxel_um=segment.voxel_um,
        resume=settings.resume,
        overwrite=settings.overwrite,
    )
    for warning in filter(None, warnings):
        yield Warned(message=warning)
    part = predict_tiles(
        _averaged(model, settings, scale),
        segment.read,
        plan=plan,
        output=output,
        mask=segment.mask.read if segment.mask and settings.skip_mask else None,
        batch=settings.batch,
        cell=cell_side(chunk_of(segment)),
        near=settings.near,
    )
    result = yield from relay(replace(e, device=model.device) if isinstance(e, Started) else e for e in part)
    yield Saved(path=settings.out, what="ink map")
    exports = []
    for kind in settings.export:
        file = Path(settings.out).with_suffix("." + kind)
        write = export_tiff if kind == "tiff" else export_png
        exports.append(str(write(output, file, overwrite=settings.overwrite or settings.resume)))
        yield Saved(path=exports[-1], what=f"{kind.upper()} of the ink map")
    yield Finished(result={**result, "path": settings.out, "exports": exports})


def _region(settings: Predict, model: InkModel, segment: Segment) -> Window:
    """Return the layers and the box to predict."""
    layers = model.layers(segment.depth) if settings.layers is None else centre_layers(segment.depth, settings.layers)
    if layers[1] - layers[0] != model.layer_count:
        raise CheckpointError(
            f"The model sees {model.layer_count} layers; layers {layers[0]}:{layers[1]} are "
            f"{layers[1] - layers[0]}. Leave --layers out, or choose as many."
        )
    whole = segment.window.layers(*layers)
    if settings.region is None:
        return whole
    y0, y1, x0, x1 = settings.region
    return Window(whole.z, (y0, y1), (x0, x1))


def _averaged(model: InkModel, settings: Predict, scale: tuple[float, float] | None) -> Predictor:
    predictor: Predictor = model if scale is None else Scaled(model=model, scale=scale, stride=STRIDE)
    if settings.direction == "both":
        predictor = BothDirections(predictor)
    return Mirrored(predictor) if settings.mirror else predictor


def _decisive(settings: Predict, model: InkModel, segment: Segment, plan: TilePlan) -> dict[str, Any]:
    """Say all that decides the map's pixels; a resumed prediction must share it."""
    masked = segment.mask is not None and settings.skip_mask
    return {
        "checkpoint": model.digest,
        "segment": {"name": segment.name, "shape": list(segment.shape), "dtype": str(segment.dtype)},
        "mask": segment.raster("mask").digest() if masked else None,
        "plan": plan.to_dict(),
        "region": list(plan.region.box),
        "reverse": settings.reverse,
        "direction": settings.direction,
        "mirror": settings.mirror,
        "batch": settings.batch,
        "device": model.device,
        "precision": settings.precision,
    }


def _provenance(settings: Predict, model: InkModel, segment: Segment) -> dict[str, Any]:
    keys = ("layers", "threshold", "label_hash", "held_out", "normalization", "architecture", "scores")
    return {
        "volumen": version("volumen"),
        "checkpoint_path": str(settings.checkpoint),
        "source": segment.source,
        **{key: model.header[key] for key in keys if key in model.header},
    }
