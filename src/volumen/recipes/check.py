"""check: look a segment over before paying for training; under a minute, whatever its size."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from volumen.crops.select import centre_layers
from volumen.errors import LabelError, SettingsError, SourceError
from volumen.events import Event, Finished, Started, Stepped, Warned
from volumen.recipes.findings import Finding, broken, doubtful
from volumen.recipes.label_findings import label_findings, label_notes
from volumen.recipes.label_survey import (
    CELL,
    LabelSurvey,
    choose_windows,
    join_surveys,
    label_bands,
    survey_labels,
)
from volumen.recipes.opening import open_all
from volumen.recipes.volume_findings import depth_findings, range_findings
from volumen.recipes.volume_survey import (
    Samples,
    VolumeSurvey,
    affordable,
    slow_layout,
    survey_volume,
)
from volumen.settings.cache import BOUND, FOLDER
from volumen.sources.decoded import layer_by_layer
from volumen.sources.location import Location
from volumen.sources.remote.mirror import mirror

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from volumen import settings as choose
    from volumen.sources.segment import Segment
    from volumen.windows import Range

_SIDE = 4 * CELL  # of the windows that are read, in pixels
_WINDOWS = 48


def check(settings: choose.Check) -> Iterator[Event]:
    """Look for what makes a training fail or mislead: order and choice of layers, blank or damaged data, bad labels.

    Labels and masks are read once, whole; of the voxels, full-depth windows spread over papyrus and ink, so that the
    time does not grow with the volume.

    Parameters
    ----------
    settings
        What to look at, and with which layers and window it is meant to be used.

    Yields
    ------
    Event
        `Started`, `Stepped`, a `Warned` for each finding, and `Finished` with ``findings`` (code, message, severity
        each), ``notes`` (worth knowing, not wrong), ``name``, ``shape`` (ZYX), ``depth``, ``dtype``, ``voxel_um``,
        ``layers``, ``windows`` (how many were read), ``profile`` (mean grey of the layers read), the shares ``ink``
        and ``background`` (of the supervised), ``supervised`` and ``papyrus`` (of all pixels), and ``seconds``.

    Raises
    ------
    SourceNotFoundError, SourceError
        When there is no volume to look at.

    Examples
    --------
    >>> from volumen.events import result
    >>> from volumen.settings import Check
    >>> result(check(Check(path="20230827161847.zarr")))["findings"]  # doctest: +SKIP
    []
    """
    begun = time.monotonic()
    try:
        (segment,) = open_all((settings.path,), settings)
    except LabelError as error:
        finding = broken("label_mismatch", str(error))
        yield Started(work="check", total=0, unit="parts")
        yield Warned(message=_said(finding))
        yield Finished(result={"findings": [asdict(finding)], "notes": [], "seconds": time.monotonic() - begun})
        return
    told: dict[str, Any] = {
        "name": segment.name,
        "shape": list(segment.shape),
        "depth": segment.depth,
        "dtype": str(segment.dtype),
        "voxel_um": segment.voxel_um,
        "layers": settings.layers,
    }
    findings = []
    for step in _look(segment, settings, told):
        if isinstance(step, Finding):
            findings.append(step)
            yield Warned(message=_said(step))
        else:
            yield step
    notes = [*label_notes(segment), *_cache_notes(settings.path)]
    seconds = time.monotonic() - begun
    yield Finished(result={"findings": [asdict(each) for each in findings], "notes": notes, **told, "seconds": seconds})


def _look(segment: Segment, settings: choose.Check, told: dict[str, Any]) -> Iterator[Started | Stepped | Finding]:
    """Yield progress and findings, and tell the numbers on the way."""
    count = affordable(segment, _SIDE, _WINDOWS)
    parts = len(label_bands(segment)) + (segment.depth if layer_by_layer(segment) else count)
    yield Started(work="check", total=parts, unit="parts", detail={"path": settings.path})
    layers = yield from _settings_findings(segment, settings)
    bands = []
    try:
        for band in survey_labels(segment):
            bands.append(band)
            yield Stepped(done=len(bands), total=parts)
    except SourceError as error:  # a damaged label says nothing about the volume, but leaves nothing to choose by
        yield broken("unreadable", str(error))
        return
    labels = join_surveys(bands)
    told.update(_shares(labels))
    yield from label_findings(segment, labels, settings.window)
    volume = yield from _read_volume(segment, labels, count, len(bands), parts)
    if volume is None:
        return
    told.update(windows=volume.windows, profile=[round(float(grey), 5) for grey in volume.profile])
    yield from range_findings(volume, segment.dtype)
    yield from depth_findings(volume, segment.depth, layers)
    yield Stepped(done=parts, total=parts)


def _settings_findings(segment: Segment, settings: choose.Check) -> Generator[Finding, None, Range]:
    """Yield what does not fit before a voxel is read; return the layers to use, all where those asked for are not."""
    layers = (0, segment.depth)
    try:
        layers = centre_layers(segment.depth, settings.layers)
    except SettingsError as error:
        yield broken("layers_outside", str(error))
    if segment.voxel_um is None:
        yield doubtful(
            "voxel_size_unknown",
            "The edge of a voxel is not known, so sizes cannot be compared with what a model was trained on. "
            "Give --voxel-um.",
        )
    crop = (layers[1] - layers[0], max(settings.window, 128), max(settings.window, 128))
    slow = slow_layout(segment, crop)
    if slow is not None:
        yield doubtful("slow_layout", slow)
    return layers


def _read_volume(
    segment: Segment, labels: LabelSurvey, count: int, done: int, parts: int
) -> Generator[Stepped | Finding, None, VolumeSurvey | None]:
    """Read and measure windows; return None where there is nothing to read, or it is damaged or holds NaN."""
    side = min(_SIDE, *segment.shape[1:])
    windows = choose_windows(labels, segment.shape, side=side, count=count)
    if not windows:
        return None
    samples = Samples.of(segment, windows)
    try:
        for step in samples.fill():
            yield Stepped(done=min(done + step, parts), total=parts)
    except SourceError as error:
        yield broken("unreadable", str(error))
        return None
    return survey_volume(samples)


def _shares(labels: LabelSurvey) -> dict[str, float]:
    ink = labels.share(labels.learnable, labels.supervised)
    return {
        "ink": ink,
        "background": 1 - ink if labels.supervised.any() else 0.0,
        "supervised": labels.share(labels.supervised, labels.pixels),
        "papyrus": labels.share(labels.papyrus, labels.pixels),
    }


def _cache_notes(path: str) -> Iterator[str]:
    """Yield where what is read from a server is kept."""
    if Location.of(path).local:
        return
    kept = mirror(path).cache
    if kept is None:
        yield f"The cache is off ({BOUND}=0): every chunk is fetched each time that it is read."
        return
    yield (
        f"What is read from the server is kept in {kept.folder}: {kept.nbytes() / 1e9:.2f} GB now, up to "
        f"{kept.limit / 1e9:g} GB. {FOLDER} sets the folder, {BOUND} the bound."
    )


def _said(finding: Finding) -> str:
    return f"{finding.code}: {finding.message}"
