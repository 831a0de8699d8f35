"""Infer: a checkpoint and a segment, or a photograph, in, a map of probabilities out."""

from __future__ import annotations

import uuid
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from volumen.cluster import open_cluster
from volumen.crops.region import cut_out
from volumen.crops.select import centre_layers
from volumen.errors import CheckpointError
from volumen.events import Finished, Saved, Started, Warned, relay
from volumen.models.checkpoint import PHOTOS
from volumen.models.unet import STRIDE
from volumen.prediction.cluster import predict_on_cluster
from volumen.prediction.plan import TilePlan
from volumen.prediction.tiles import predict_tiles
from volumen.recipes.ink_model import load_model
from volumen.recipes.ink_work import InkWork, open_source, ready
from volumen.recipes.mismatches import too_far, wrong_order
from volumen.recipes.photos.seen_scale import scaled_tile, seen_scale
from volumen.settings.command import absolute
from volumen.sources.pyramids.export import check_free, export_png, export_tiff
from volumen.sources.pyramids.probability_map import create_map
from volumen.training.devices import limit_memory, pick_device
from volumen.writer import sole_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.cluster import Cluster
    from volumen.events import Event
    from volumen.recipes.ink_model import InkModel
    from volumen.settings import Predict
    from volumen.sources.segment import Segment
    from volumen.windows import Window


def predict(settings: Predict) -> Iterator[Event]:
    """Predict ink over a segment, streamed to an OME-Zarr whose pyramid grows block by block.

    The map is uint8, YX, as large as the segment; 255 is probability 1, and 0 also what was not predicted. With a model
    of photographs, predict what it learned over a photograph, at native size; one that learned from whole photographs
    brought to one size is shown it at that scale, and its map is brought back to native size.

    Parameters
    ----------
    settings
        Checkpoint and segment, which part of it, and how it is cut into tiles.

    Yields
    ------
    Event
        `Started`, a `Stepped` for each tile, a `TileWritten` for each block on disk, `Saved`; the last is `Finished`
        with ``path``, ``tiles`` (computed), ``skipped`` (without papyrus), ``seconds``, ``pixels_per_second``,
        ``exports`` (paths).

    Raises
    ------
    CheckpointError
        The checkpoint cannot be used, or is for another number of layers.
    OutputExistsError
        The map is there already; ``resume`` goes on with it, ``overwrite`` replaces it.
    SettingsError
        Settings contradict each other, or those of the map that should be resumed.
    SourceError
        The segment cannot be read.
    OutOfMemoryError, OutOfSpaceError
        A single tile does not fit into memory, or the map on the disk.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Predict(checkpoint="runs/first", segment="20230827161847.zarr", out="ink.zarr")
    >>> result(predict(chosen))["path"]  # doctest: +SKIP
    'ink.zarr'
    """
    gpus = torch.cuda.device_count()
    with open_cluster(settings.scheduler, settings.workers, gpus=gpus, needs=[__name__]) as cluster:
        yield from _predict(settings, cluster)


def _predict(settings: Predict, cluster: Cluster | None) -> Iterator[Event]:
    if cluster is None:
        device = pick_device(settings.device)
        limit_memory(device, settings.memory_fraction)
        model = load_model(settings.checkpoint, device=settings.device, precision=settings.precision)
    else:
        yield from cluster.arrive()
        device = cluster.ask(pick_device, settings.device)
        model = replace(load_model(settings.checkpoint, device="cpu", precision="32"), device=device)
    segment = open_source(settings, model.header)
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
    warnings = [wrong_order(model.header, segment)]
    if PHOTOS not in model.header:
        warnings.append(too_far(model.header, plan))
    exports = {kind: Path(settings.out).with_suffix(f".{kind}") for kind in settings.export}
    if not (settings.overwrite or settings.resume):
        for file in exports.values():  # now, and not after hours
            check_free(file)
    with sole_output(Path(settings.out)):
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
        mask = segment.mask.read if segment.mask and settings.skip_mask else None
        if cluster is None:
            here = ready(model, segment, settings)
            part = predict_tiles(
                here.model,
                here.read,
                plan=plan,
                output=output,
                mask=mask,
                batch=settings.batch,
                cell=here.cell,
                near=settings.near,
            )
        else:
            chosen = absolute(settings.model_copy(update={"device": device}))
            work = InkWork(settings=chosen, digest=model.digest, run=uuid.uuid4().hex)
            part = predict_on_cluster(
                cluster, work, plan=plan, output=output, mask=mask, batch=settings.batch, near=settings.near
            )
        result = yield from relay(replace(e, device=model.device) if isinstance(e, Started) else e for e in part)
        yield Saved(path=settings.out, what="ink map")
        for kind, file in exports.items():
            write = export_tiff if kind == "tiff" else export_png
            write(output, file, overwrite=settings.overwrite or settings.resume)
            yield Saved(path=str(file), what=f"{kind.upper()} of the ink map")
    yield Finished(result={**result, "path": settings.out, "exports": [str(file) for file in exports.values()]})


def _region(settings: Predict, model: InkModel, segment: Segment) -> Window:
    """Return the layers and the box to predict."""
    layers = model.layers(segment.depth) if settings.layers is None else centre_layers(segment.depth, settings.layers)
    if layers[1] - layers[0] != model.layer_count:
        raise CheckpointError(
            f"The model sees {model.layer_count} layers; layers {layers[0]}:{layers[1]} are "
            f"{layers[1] - layers[0]}. Leave --layers out, or choose as many."
        )
    return cut_out(segment, segment.window.layers(*layers), settings.region)


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
