"""RunRecord: what a run folder tells to a reader, however far the run came."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from volumen.events import Finished, Scored, Started, Stepped, Warned
from volumen.plain_json import parse_object
from volumen.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.events import Event

_LABELS = {"ink": "ink", "supervision": "supervision", "held_out": "held_out_mask", "mask": "mask"}


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run's recipe, events and what lies beside them.

    Parameters
    ----------
    name
        What to call it: the folder's name, with its parent's where two runs share one.
    path
        The folder.
    recipe
        ``recipe.json``, as it is.
    curves
        For each quantity, (epoch, value) pairs in order; the last word where an epoch was told twice.
    best_epoch
        Epoch of the best weights, if any was best.
    warnings
        What was warned of, each message once, in order.
    device
        Where it trained, if it said so.
    result
        Result of the finished run; None where it has not finished.
    """

    name: str
    path: Path
    recipe: Mapping[str, Any]
    curves: Mapping[str, tuple[tuple[int, float], ...]]
    best_epoch: int | None
    warnings: tuple[str, ...]
    device: str
    result: Mapping[str, Any] | None

    @classmethod
    def read(cls, path: str | Path, name: str | None = None) -> RunRecord:
        """Read a run folder.

        Raises
        ------
        SourceNotFoundError, SourceError
            The folder is no run, or its recipe is damaged.
        """
        run = Run.open(path)
        events = list(run.events()) if (run.path / "events.jsonl").exists() else []
        best = [event.step for event in events if isinstance(event, Scored) and event.best]
        finished = [event.result for event in events if isinstance(event, Finished)]
        return cls(
            name=name or run.path.resolve().name,
            path=run.path,
            recipe=run.recipe,
            curves=_curves(events),
            best_epoch=best[-1] if best else None,
            warnings=tuple(dict.fromkeys(event.message for event in events if isinstance(event, Warned))),
            device=next((event.device for event in events if isinstance(event, Started) and event.device), ""),
            result=finished[-1] if finished else None,
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of the run by name, as they were written."""
        settings = self.recipe.get("settings")
        return settings if isinstance(settings, dict) else {}

    @property
    def verb(self) -> str:
        """What made the run, such as ``finetune`` or ``pretrain spark``."""
        return str(self.recipe.get("verb", "–"))

    @property
    def epochs(self) -> int:
        """How many epochs it has finished."""
        return max((points[-1][0] for points in self.curves.values() if points), default=0)

    @property
    def pace(self) -> float | None:
        """Crops a second, the median over epochs; None where it was not told."""
        values = [value for _, value in self.curves.get("crops_per_second", ())]
        return median(values) if values else None

    @property
    def sheets(self) -> tuple[Path, ...]:
        """Pictures of reconstructions that a pretraining drew, in the order of their epochs."""
        found = (self.path / "reconstructions").glob("epoch_*.png")
        epochs = {path: path.stem.removeprefix("epoch_") for path in found}
        return tuple(sorted((path for path in epochs if epochs[path].isdecimal()), key=lambda path: int(epochs[path])))

    def value(self, quantity: str, epoch: int | None = None) -> float | None:
        """Return a quantity at an epoch, or as it was told last; None where it was not told."""
        points = [value for at, value in self.curves.get(quantity, ()) if epoch in (None, at)]
        return points[-1] if points else None

    @property
    def segments(self) -> tuple[str, ...]:
        """Paths of the segments that it learned from."""
        return tuple(map(str, _listed(self.settings.get("segments"))))

    @property
    def maps(self) -> tuple[str, ...]:
        """Paths of the ink maps in its ``predictions`` folder."""
        return tuple(str(path) for path in sorted((self.path / "predictions").glob("*.zarr")))

    def labels(self, index: int) -> dict[str, Any]:
        """Return what was given about segment ``index``, as the settings of other verbs take it."""
        given: dict[str, Any] = {}
        for field in _LABELS.values():
            files = _listed(self.settings.get(field))
            given[field] = (files[index],) if index < len(files) else ()
        return {**given, "reverse": bool(self.settings.get("reverse")), "voxel_um": self.settings.get("voxel_um")}

    def scores_of(self, ink_map: str) -> dict[str, Any] | None:
        """Return the scores that ``evaluate --out RUN/scores.json`` left, where they are of this map as it is now."""
        file, map_path = self.path / "scores.json", Path(ink_map)
        metadata = map_path / "zarr.json"
        try:
            scores = parse_object(file.read_bytes())
            told = Path(scores["prediction"]).resolve() == map_path.resolve() and "histograms" in scores
            fresh = file.stat().st_mtime >= (metadata if metadata.exists() else map_path).stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or not ours: the map is scored again
        return scores if told and fresh else None


def read_runs(paths: tuple[str, ...]) -> tuple[RunRecord, ...]:
    """Read several runs and name each so that they can be told apart."""
    folders = [Path(path).resolve() for path in paths]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, start=1)]
    return tuple(RunRecord.read(path, name) for path, name in zip(paths, names, strict=True))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _curves(events: list[Event]) -> dict[str, tuple[tuple[int, float], ...]]:
    """Gather scores and, from the steps, learning rate and pace, by epoch."""
    by_epoch: dict[str, dict[int, float]] = {}
    steps: list[Mapping[str, float]] = []
    for event in events:
        if isinstance(event, Stepped):
            steps.append(event.values)
        elif isinstance(event, Scored):
            told = {**_means(steps), **event.scores}
            steps = []
            for name, value in told.items():
                if isinstance(value, int | float):
                    by_epoch.setdefault(name, {})[event.step] = float(value)
    return {name: tuple(sorted(values.items())) for name, values in by_epoch.items()}


def _means(steps: list[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of what the steps of one epoch measured; their loss is the training loss."""
    means: dict[str, float] = {}
    for step_name, name in (
        ("loss", "train_loss"),
        ("learning_rate", "learning_rate"),
        ("weight_decay", "weight_decay"),
        ("crops_per_second", "crops_per_second"),
    ):
        values = [float(step[step_name]) for step in steps if isinstance(step.get(step_name), int | float)]
        if values:
            means[name] = sum(values) / len(values)
    return means
