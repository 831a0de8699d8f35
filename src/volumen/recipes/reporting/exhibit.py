"""Exhibit: an ink map to show, with its segment, the run that it came from and its scores."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import VolumenError
from volumen.evaluation.counts import LevelCounts
from volumen.events import Finished, Warned
from volumen.recipes.evaluate import evaluate
from volumen.recipes.ink_map import InkMap
from volumen.recipes.opening import open_all
from volumen.settings import Evaluate
from volumen.settings.source import LabelPaths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from volumen.events import Event
    from volumen.recipes.reporting.run_record import RunRecord
    from volumen.sources.segment import Segment


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """An ink map on its segment.

    Parameters
    ----------
    name
        What to call it in tables and under pictures.
    path
        Where the map is.
    run
        The run that it is filed under.
    ink_map, segment
        Both opened, the map laid on the segment.
    labels
        What was given about the segment, as the settings of `evaluate` take it.
    scores
        What `evaluate` wrote, histograms too; None where the segment has no ink label.
    """

    name: str
    path: str
    run: RunRecord
    ink_map: InkMap
    segment: Segment
    labels: dict[str, Any]
    scores: dict[str, Any] | None = None

    @property
    def threshold(self) -> float:
        """Probability in [0, 1] from which a pixel is called ink: calibrated, else recorded, else one half."""
        calibrated = self.scores["threshold"] if self.scores else None
        recorded = self.ink_map.record.get("threshold")
        chosen = calibrated if calibrated is not None else recorded
        return float(chosen) if isinstance(chosen, int | float) else 0.5

    @property
    def region(self) -> tuple[int, int, int, int] | None:
        """The box to call held out: that of its scores; else, where nothing else says what is, that of the run."""
        box = (self.scores or {}).get("region")
        if box is None and self.segment.held_out is None and not self.ink_map.held_out(self.segment.name):
            box = self.run.settings.get("held_out_region")
        return Evaluate(prediction=self.path, segment=self.segment.source, region=box).region

    def counts(self, scope: str) -> LevelCounts | None:
        """Return the histograms of a scope, of shape (256,), if it was scored."""
        histogram = (self.scores or {}).get("histograms", {}).get(scope)
        if histogram is None:
            return None
        ink, background = (np.array(histogram[name], dtype=np.float64) for name in ("ink", "background"))
        return LevelCounts(ink=ink, background=background, soft=ink)


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """All that could be opened, and in words what could not."""

    exhibits: tuple[Exhibit, ...]
    notes: tuple[str, ...]


def open_gallery(runs: Sequence[RunRecord], predictions: Sequence[str]) -> Gallery:
    """Open the maps in the runs' folders and those given, each on its segment; what is missing becomes a note."""
    notes: list[str] = []
    known = [(run, index) for run in runs for index in range(len(run.segments))]
    opened = {key: _open_segment(run, index, notes) for key, (run, index) in enumerate(known)}
    wanted = [(path, run) for run in runs for path in run.maps]
    wanted += [(path, _run_of(path, number, runs, predictions)) for number, path in enumerate(predictions)]
    exhibits: list[Exhibit] = []
    seen: set[Path] = set()
    for path, owner in wanted:
        if Path(path).resolve() in seen:
            continue
        seen.add(Path(path).resolve())
        choices = [(known[key], segment) for key, segment in opened.items() if segment is not None]
        choices.sort(key=lambda choice: choice[0][0] is not owner)
        exhibit = _open_exhibit(path, owner, choices, notes)
        if exhibit is not None:
            exhibits.append(exhibit)
    if not wanted:
        notes.append("No ink maps were found in the runs' predictions folders, and none were given with --predictions.")
    return Gallery(exhibits=_named(exhibits), notes=tuple(dict.fromkeys(notes)))


def score(exhibit: Exhibit, folder: Path) -> Iterator[Event]:
    """Score an exhibit as `evaluate` does, unless its run holds its scores; end with them, or with None, as result.

    Parameters
    ----------
    exhibit
        With or without scores.
    folder
        Where to write the JSON file with its scores.
    """
    found = exhibit.run.scores_of(exhibit.path)
    if found is None and exhibit.segment.ink is not None:
        file = folder / f"{exhibit.name.replace('/', '_')}.json"
        chosen = Evaluate(
            prediction=exhibit.path,
            segment=exhibit.segment.source,
            region=exhibit.region,
            out=str(file),
            **exhibit.labels,
        )
        try:
            yield from (event for event in evaluate(chosen) if not isinstance(event, Finished))
            found = json.loads(file.read_text(encoding="utf-8"))
        except VolumenError as error:
            yield Warned(message=f"{exhibit.name} could not be scored. {error}")
    yield Finished(result={"scores": found})


def _open_segment(run: RunRecord, index: int, notes: list[str]) -> Segment | None:
    path = run.segments[index]
    try:
        return open_all((path,), LabelPaths(**run.labels(index)))[0]
    except VolumenError as error:
        notes.append(f"Segment {path} of {run.name} cannot be opened, so there are no pictures of it. {error}")
        return None


def _run_of(path: str, number: int, runs: Sequence[RunRecord], predictions: Sequence[str]) -> RunRecord:
    """File a given map under the run whose checkpoint it records, else in order, else under the first."""
    try:
        checkpoint = InkMap.open(path).record.get("checkpoint_path")
    except VolumenError:
        checkpoint = None  # said when the map itself is opened
    if isinstance(checkpoint, str):
        for run in runs:
            if Path(checkpoint).resolve() in (run.path.resolve(), run.path.resolve() / "best.safetensors"):
                return run
    return runs[number] if len(runs) == len(predictions) else runs[0]


def _open_exhibit(
    path: str, owner: RunRecord, choices: list[tuple[tuple[RunRecord, int], Segment]], notes: list[str]
) -> Exhibit | None:
    """Lay a map on the segment that it names, else on one that it fits."""
    try:
        ink_map = InkMap.open(path)
    except VolumenError as error:
        notes.append(f"The ink map {path} cannot be shown. {error}")
        return None
    named = [choice for choice in choices if choice[1].name == ink_map.segment] or (
        choices if ink_map.segment is None else []
    )
    if not named:
        named = [((owner, -1), segment) for segment in _recorded(ink_map)]
    for (run, index), segment in named:
        try:
            laid = ink_map.on(segment)
        except VolumenError as error:
            notes.append(str(error))
            continue
        labels = run.labels(index) if index >= 0 else {}
        notes.extend(laid.remarks)
        return Exhibit(name="", path=path, run=owner, ink_map=laid, segment=segment, labels=labels)
    notes.append(f"The ink map {path} cannot be shown: its segment {ink_map.segment or ''} is not at hand.")
    return None


def _recorded(ink_map: InkMap) -> list[Segment]:
    """Open the segment that a map says it was made of, where no run learned from it."""
    source = ink_map.record.get("source")
    try:
        return [open_all((source,), LabelPaths())[0]] if isinstance(source, str) else []
    except VolumenError:
        return []


def _named(exhibits: list[Exhibit]) -> tuple[Exhibit, ...]:
    """Name each by its run, by its segment too where a run has several, and by its file where those are the same."""
    runs = [exhibit.run.name for exhibit in exhibits]
    names = [
        exhibit.run.name if runs.count(exhibit.run.name) == 1 else f"{exhibit.run.name} on {exhibit.segment.name}"
        for exhibit in exhibits
    ]
    names = [
        name if names.count(name) == 1 else f"{name} ({Path(exhibit.path).stem})"
        for name, exhibit in zip(names, exhibits, strict=True)
    ]
    return tuple(replace(exhibit, name=name) for name, exhibit in zip(names, exhibits, strict=True))
