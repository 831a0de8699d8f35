"""Costs of a comparison: what reading one image takes with each decoder, measured once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from volumen.crops.line_dataset import LineDataset
from volumen.crops.select import spread
from volumen.errors import SourceError
from volumen.evaluation.cost import Cost, measure_cost
from volumen.recipes.reading.line_model import load_line_model
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.recipes.comparing.readers.scoring import Outcome
    from volumen.recipes.reading.line_corpus import LineCorpus
    from volumen.training.devices import Device

_FILE = "costs.json"
_IMAGES = 16


@dataclass(frozen=True, kw_only=True)
class ReadingCost:
    """What a decoder's reader takes for one image.

    Parameters
    ----------
    cost
        Of one image: a batch's, divided by its images.
    images, height, width
        The batch: test lines spread over all, padded to the widest, in px.
    device, precision
        Where it was measured, and in which number format: the runs'.
    """

    cost: Cost
    images: int
    height: int
    width: int
    device: str
    precision: str = "32"


def reading_costs(out: str, outcome: Outcome, corpus: LineCorpus) -> Mapping[str, ReadingCost]:
    """Measure the first seed's reader of each decoder at the largest share; what was measured before is kept.

    Parameters are those that take part: of visual frames, without the BiLSTM.

    Raises
    ------
    SourceError
        None of the images can be read.
    OutOfSpaceError
        The disk is full.
    """
    file = Path(out) / _FILE
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    missing = [decoder for decoder in decoders_of(outcome) if decoder not in found]
    if missing:
        found |= {decoder: asdict(_measure(decoder, outcome, corpus)) for decoder in missing}
        write_whole(file, json.dumps(found, indent=1) + "\n")
    return {decoder: ReadingCost(**{**one, "cost": Cost(**one["cost"])}) for decoder, one in found.items()}


def decoders_of(outcome: Outcome) -> tuple[str, ...]:
    """Return the decoders that were compared."""
    return tuple(dict.fromkeys(cell.decoder for cell in outcome))


def _measure(decoder: str, outcome: Outcome, corpus: LineCorpus) -> ReadingCost:
    cell = max((cell for cell in outcome if cell.decoder == decoder), key=lambda cell: (cell.share, not cell.frozen))
    record = outcome[cell][0].record
    device = cast("Device", torch.device(record.device or "cpu").type)
    dataset = LineDataset(spread(corpus.test, _IMAGES), form=corpus.form)
    batch = dataset.batch(range(len(dataset)), epoch=0)
    if batch is None:
        raise SourceError("None of the test images can be read any more, so no costs can be measured.")
    model = load_line_model(record.path, device=device, precision=record.settings.get("precision", "auto"))
    cost = measure_cost(model.reader, lambda: model(batch), images=len(batch.names))
    if model.reader.architecture["features"] == "visual":
        idle = sum(parameter.numel() for parameter in model.reader.recognizer.bilstm.parameters())
        cost = replace(cost, parameters=cost.parameters - idle)
    return ReadingCost(
        cost=cost,
        images=len(batch.names),
        height=batch.images.shape[2],
        width=batch.images.shape[3],
        device=model.device,
        precision=model.precision,
    )
