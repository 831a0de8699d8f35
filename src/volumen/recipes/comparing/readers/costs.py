"""Costs of a comparison: what reading one image takes with each decoder, measured once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.crops.line_dataset import LineDataset
from volumen.crops.select import spread
from volumen.errors import SourceError
from volumen.evaluation.cost import Cost, measure_cost
from volumen.models.reader_checkpoint import load_reader
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.recipes.comparing.readers.scoring import Outcome
    from volumen.recipes.reading.line_corpus import LineCorpus

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
    device
        Where it was measured.
    """

    cost: Cost
    images: int
    height: int
    width: int
    device: str


def reading_costs(out: str, outcome: Outcome, corpus: LineCorpus) -> Mapping[str, ReadingCost]:
    """Measure the first seed's reader of each decoder at the largest share; what was measured before is kept.

    Raises
    ------
    SourceError
        None of the images can be read.
    OutOfSpaceError
        The disk is full.
    """
    file = Path(out) / _FILE
    if not file.exists():
        measured = {decoder: asdict(_measure(decoder, outcome, corpus)) for decoder in decoders_of(outcome)}
        write_whole(file, json.dumps(measured, indent=1) + "\n")
    found = json.loads(file.read_text(encoding="utf-8"))
    return {decoder: ReadingCost(**{**one, "cost": Cost(**one["cost"])}) for decoder, one in found.items()}


def decoders_of(outcome: Outcome) -> tuple[str, ...]:
    """Return the decoders that were compared."""
    return tuple(dict.fromkeys(cell.decoder for cell in outcome))


def _measure(decoder: str, outcome: Outcome, corpus: LineCorpus) -> ReadingCost:
    cell = max((cell for cell in outcome if cell.decoder == decoder), key=lambda cell: (cell.share, not cell.frozen))
    record = outcome[cell][0].record
    device = record.device or "cpu"
    dataset = LineDataset(spread(corpus.test, _IMAGES), form=corpus.form)
    batch = dataset.batch(range(len(dataset)), epoch=0)
    if batch is None:
        raise SourceError("None of the test images can be read any more, so no costs can be measured.")
    reader, _ = load_reader(record.path / "best.safetensors")
    reader.to(device)
    images, widths = batch.images.to(device), batch.widths.to(device)
    cost = measure_cost(reader, lambda: reader.read(images, widths), images=len(batch.names))
    return ReadingCost(cost=cost, images=len(batch.names), height=images.shape[2], width=images.shape[3], device=device)
