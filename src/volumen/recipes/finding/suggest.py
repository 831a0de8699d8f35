"""Suggest: a trained model and a segment in, the windows whose labels would teach it most out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.crops.select import spread
from volumen.errors import OutputExistsError, SettingsError
from volumen.evaluation.farthest import pick_farthest
from volumen.evaluation.nearest import nearest
from volumen.evaluation.scaled import ScaledRows
from volumen.events import Finished, Saved, Started, Stepped, Warned, relay
from volumen.models.checkpoint import read_header
from volumen.recipes.finding.candidates import Candidates
from volumen.recipes.finding.found import Found, contact_sheet, prepare, write_found
from volumen.recipes.finding.index import index
from volumen.recipes.infer import predict
from volumen.recipes.ink_map import InkMap
from volumen.recipes.opening import open_all
from volumen.run_folder import weights_file
from volumen.settings import Index, Predict
from volumen.settings.command import absolute
from volumen.sources.index.window_index import WindowIndex
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from volumen.events import Event
    from volumen.settings import Suggest
    from volumen.sources.index.index_part import IndexPart
    from volumen.sources.segment import Segment

MAP, INDEX = "ink.zarr", "index"
FILES = (MAP, INDEX, "suggestions.json", "suggestions.csv", "sheet.png")

_STAGE = 4  # of the encoder, whose maps say how unlike windows are
_MOST_KNOWN = 4096  # labelled windows, spread, that novelty is measured against


def suggest(settings: Suggest) -> Iterator[Event]:
    """Rank windows by how unsure the model is of them times how far they lie from what is labelled or suggested.

    Far is what the model's own encoder sees as different. Windows that touch a label or held-out ground are never
    suggested, nor two that overlap. The ink map and the windows' vectors are kept in the output folder, so that an
    interrupted suggestion goes on where it stopped.

    Parameters
    ----------
    settings
        Checkpoint and segment, how many windows of which side in px, and the folder to write to.

    Yields
    ------
    Event
        The last is `Finished` with ``suggestions``, best first, ``path``, ``candidates`` (how many windows were
        ranked) and ``seconds``. A suggestion is a dictionary of ``rank``, ``segment``, ``source``, ``box`` (y0, y1,
        x0, x1), ``y`` and ``x`` of its middle in px, and ``scores``: ``score``, ``uncertainty``, ``novelty``.

    Raises
    ------
    CheckpointError
        The checkpoint cannot be used.
    SettingsError
        There is nothing left to suggest.
    OutputExistsError
        Something is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Suggest(checkpoint="runs/first", segment="20230827161847.zarr", out="next", n=20)
    >>> first = result(suggest(chosen))["suggestions"][0]  # doctest: +SKIP
    """
    began = time.monotonic()
    settings = absolute(settings)
    out = Path(settings.out)
    segment = open_all((settings.segment,), settings)[0]
    header = read_header(weights_file(settings.checkpoint))
    given = None if settings.prediction is None else InkMap.open(settings.prediction).on(segment)
    _check_kept(settings)
    prepare(out, FILES, overwrite=settings.overwrite, resume=settings.resume)  # only now: what is there may go
    out.mkdir(parents=True, exist_ok=True)
    if given is None:
        yield from relay(predict(_prediction(settings, out / MAP)))
    ink_map = given or InkMap.open(str(out / MAP)).on(segment)
    yield from relay(index(_indexing(settings, out / INDEX)))
    part = WindowIndex.open(out / INDEX).parts[0]
    yield Started(work="suggest", total=settings.n, unit="windows", detail={"candidates": len(part.corners)})
    candidates = Candidates.of(
        segment,
        ink_map,
        part.corners,
        settings.window,
        held_out=_boxes(header, segment),
        kind=settings.uncertainty,
    )
    if not candidates.free.any():
        raise SettingsError(
            f"None of {len(part.corners)} windows of {segment.name} is left to suggest: all touch labelled or held-out "
            "ground. Give --supervision, where only a part of the label may be trusted, or a smaller window."
        )
    places = _chosen(settings, segment, part, candidates)
    if len(places) < settings.n:
        yield Warned(message=f"Only {len(places)} windows apart from each other are left; {settings.n} were asked for.")
    yield Stepped(done=settings.n, total=settings.n)
    layers = tuple(part.job["layers"])
    sheet = contact_sheet(places, lambda _: (segment, layers), "uncertainty")
    write_found(out, "suggestions", places, sheet, _record(settings, candidates))
    yield Saved(path=str(out), what="suggestions")
    yield Finished(
        result={
            "suggestions": [place.to_dict() for place in places],
            "candidates": int(candidates.free.sum()),
            "path": str(out),
            "seconds": time.monotonic() - began,
        }
    )


def _check_kept(settings: Suggest) -> None:
    """Raise an `OutputExistsError` where the map that is given would be cleared away with what was there before."""
    clears = settings.overwrite and not settings.resume
    if clears and settings.prediction is not None and Path(settings.prediction).is_relative_to(settings.out):
        raise OutputExistsError(
            f"{settings.prediction} is in {settings.out}, which would be cleared before it is read; give another path "
            "to write to, or move the map."
        )


def _prediction(settings: Suggest, path: Path) -> Predict:
    """Return how the map is made; one that is there, finished or not, is gone on with."""
    shared = ("checkpoint", "segment", "mask", "reverse", "voxel_um", "region", "mirror", "device", "precision")
    chosen = {name: getattr(settings, name) for name in (*shared, "memory_fraction")}
    return Predict(out=str(path), resume=path.exists(), **chosen)


def _indexing(settings: Suggest, path: Path) -> Index:
    shared = ("mask", "reverse", "voxel_um", "region", "window", "stride", "batch", "device", "precision")
    chosen = {name: getattr(settings, name) for name in (*shared, "memory_fraction")}
    return Index(segments=(settings.segment,), encoder=settings.checkpoint, stage=_STAGE, out=str(path), **chosen)


def _boxes(header: dict[str, Any], segment: Segment) -> tuple[Window, ...]:
    """Return the boxes of the segment that the model never learned from."""
    boxes = header.get("held_out", {}).get(segment.name, [])
    return tuple(Window((0, 1), (y0, y1), (x0, x1)) for y0, y1, x0, x1 in boxes)


def _chosen(settings: Suggest, segment: Segment, part: IndexPart, candidates: Candidates) -> list[Found]:
    """Return the windows to label, best first: what is in doubt and unlike what is labelled or chosen before."""
    rows = ScaledRows.of(part.vectors, "standardized")
    picks = pick_farthest(
        rows,
        np.where(candidates.free, candidates.doubt, 0.0),
        settings.n,
        known=_novelty(rows, candidates.labelled),
        weight=settings.novelty,
        clashing=lambda row: _overlapping(part.corners, row, settings.window),
    )
    places = []
    for rank, pick in enumerate(picks, start=1):
        known = np.isfinite(pick.distance)  # not of the first, where nothing is labelled
        scores = {
            "score": pick.worth * pick.distance**settings.novelty if known else pick.worth,
            "uncertainty": pick.worth,
            "novelty": pick.distance if known else float("nan"),
        }
        y, x = map(int, part.corners[pick.row])
        box = (y, y + settings.window, x, x + settings.window)
        places.append(Found(rank=rank, segment=segment.name, source=segment.source, box=box, scores=scores))
    return places


def _novelty(rows: ScaledRows, labelled: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return how far each window is from the nearest labelled one; None where none is."""
    known = spread(np.flatnonzero(labelled).tolist(), _MOST_KNOWN)
    if not known:
        return None
    learned = np.concatenate([rows[row : row + 1] for row in known])
    total, step = rows.shape[0], 1024
    parts = [nearest(learned, rows[start : start + step], 1).distance[:, 0] for start in range(0, total, step)]
    return np.concatenate(parts)


def _overlapping(corners: NDArray[np.int32], row: int, side: int) -> NDArray[np.bool_]:
    """Say which windows share a pixel with one of them."""
    near: NDArray[np.bool_] = (np.abs(corners - corners[row]) < side).all(axis=1)
    return near


def _record(settings: Suggest, candidates: Candidates) -> dict[str, Any]:
    return {
        "checkpoint": settings.checkpoint,
        "settings": settings.recorded(),
        "candidates": int(candidates.free.sum()),
        "labelled": int(candidates.labelled.sum()),
    }
