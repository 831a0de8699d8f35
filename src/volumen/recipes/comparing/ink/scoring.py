"""Scoring of a run: its best weights predict what is held out, and that is scored block by block."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import LabelError
from volumen.evaluation.tally import Tally
from volumen.events import Finished, relay, to_json
from volumen.recipes.evaluate import bands
from volumen.recipes.infer import predict
from volumen.recipes.ink_map import InkMap
from volumen.recipes.opening import open_all
from volumen.recipes.reporting.run_record import RunRecord
from volumen.recipes.scopes import held_out_pixels, scored_pixels
from volumen.settings import Predict
from volumen.settings.source import LabelPaths
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from volumen.events import Event
    from volumen.settings.compare_ink import CompareInk

SCORES = ("loss", "iou", "dice", "f05", "auc", "average_precision")
"""What is compared: the validation loss as it was in training, and scores of the predicted map."""

FINAL = ("loss", "auc", "average_precision")
"""What is given of the last epoch too: the scores that need no threshold."""

_FILE = "held_out.json"
_UNDEFINED = float("nan")


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """What a run scored on the held-out pixels.

    Parameters
    ----------
    record
        The run.
    best
        By score: of the epoch that scored best.
    final
        By score of `FINAL`: of the last epoch.
    draws
        By score of the predicted map: in every draw of the bootstrap of blocks, (draws,). Draw k is of the same
        blocks in every run of a comparison.
    threshold
        Probability in [0, 1] from which a pixel is called ink, chosen on the held-out pixels.
    blocks, pixels, ink_share
        How much was scored.
    """

    record: RunRecord
    best: Mapping[str, float]
    final: Mapping[str, float]
    draws: Mapping[str, NDArray[np.float64]]
    threshold: float
    blocks: int
    pixels: int
    ink_share: float

    @classmethod
    def read(cls, folder: Path) -> RunScores:
        """Read what `score_run` left in a run's folder."""
        scored, record = json.loads((folder / _FILE).read_text(encoding="utf-8")), RunRecord.read(folder)
        map_scores = {name: _number(scored["scores"][name]) for name in SCORES if name != "loss"}
        last = {name: record.curves[name][-1][1] if name in record.curves else _UNDEFINED for name in FINAL}
        losses = dict(record.curves.get("loss", ()))
        return cls(
            record=record,
            best={"loss": losses.get(record.best_epoch or 0, _UNDEFINED), **map_scores},
            final=last,
            draws={name: np.array([_number(value) for value in drawn]) for name, drawn in scored["draws"].items()},
            threshold=_number(scored["scores"]["threshold"]),
            blocks=int(scored["scores"]["blocks"]),
            pixels=int(scored["scores"]["pixels"]),
            ink_share=_number(scored["scores"]["ink_share"]),
        )


def score_run(folder: Path, chosen: CompareInk) -> Iterator[Event]:
    """Predict the held-out part of every segment with a run's best weights, and score it; goes on where it stopped.

    The maps are in the run's ``predictions``, as `volumen predict` writes them, and cover the box around all that is
    held out. Pixels of all segments are scored together. The threshold maximises F0.5 on one half of the blocks and
    is judged on the other, both ways round.

    Yields
    ------
    Event
        The last is `Finished` with the scores.

    Raises
    ------
    LabelError
        The held-out pixels are all ink, or all background.
    """
    file = folder / _FILE
    if not file.exists():
        record = RunRecord.read(folder)
        tally = Tally(block=chosen.block, draws=chosen.resamples, seed=0)
        for index in range(len(record.segments)):
            yield from relay(_predict(record, index, chosen))
            _count(record, index, chosen, tally)
        scores = tally.scores()
        if not math.isfinite(scores["auc"]):
            raise LabelError(
                "The held-out pixels are all ink or all background, so nothing can be scored on them. Hold out more, "
                "or choose another part with --held-out-region."
            )
        drawn = {name: values.tolist() for name, values in tally.draws().items() if name in SCORES}
        line = to_json(Finished(result={"scores": scores, "draws": drawn}))
        write_whole(folder / _FILE, json.dumps(json.loads(line)["result"]) + "\n")
    scored = RunScores.read(folder)
    yield Finished(result=dict(scored.best))


def map_path(record: RunRecord, name: str) -> Path:
    """Return where the ink map of a segment is in a run's folder."""
    return record.path / "predictions" / f"{name}.zarr"


def _predict(record: RunRecord, index: int, chosen: CompareInk) -> Iterator[Event]:
    source, labels = record.segments[index], record.labels(index)
    (segment,) = open_all((source,), LabelPaths(**labels))
    asked = Predict(
        checkpoint=str(record.path),
        segment=source,
        out=str(map_path(record, segment.name)),
        resume=True,
        region=_around(record.recipe["held_out"][segment.name]),
        device=chosen.device,
        precision=chosen.precision,
        memory_fraction=chosen.memory_fraction,
        **labels,
    )
    yield from predict(asked)


def _count(record: RunRecord, index: int, chosen: CompareInk, tally: Tally) -> None:
    """Count the pixels of a segment that are held out, supervised and predicted."""
    (segment,) = open_all((record.segments[index],), LabelPaths(**record.labels(index)))
    ink_map = InkMap.open(str(map_path(record, segment.name))).on(segment)
    held_out = held_out_pixels(chosen.held_out_region, segment, ink_map)
    if held_out is None:
        return
    for band in bands(ink_map.predicted, chosen.block):
        counted = scored_pixels(segment, ink_map, band) & held_out(band)
        tally.add(ink_map.levels(band), segment.raster("ink").read(band), counted)


def _around(boxes: Sequence[Sequence[int]]) -> tuple[int, int, int, int]:
    """Return the box around boxes of (y0, y1, x0, x1)."""
    y0, y1, x0, x1 = zip(*boxes, strict=True)
    return (min(y0), max(y1), min(x0), max(x1))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else _UNDEFINED
