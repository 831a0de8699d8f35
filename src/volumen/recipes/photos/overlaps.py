"""Overlaps: how far the masks of held-out photographs are found, and the table in which a run keeps it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import torch

from volumen.errors import SourceError
from volumen.evaluation.photo_overlap import PhotoOverlap
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import nn

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.objectives.segmentation import BceDice

_SUMS = ("common", "predicted", "true")
COLUMNS = ("photo", *(f"{kind}_{name}" for kind in ("soft", "hard") for name in _SUMS))


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What a model makes of photographs.

    Parameters
    ----------
    names
        Of the photographs, in their order; those that are broken are left out.
    overlap
        Common, predicted and true pixels of each, where they count.
    loss
        The training's loss: the mean over batches, each weighed by its pixels that count.
    """

    names: tuple[str, ...]
    overlap: PhotoOverlap
    loss: float


def judge(model: nn.Module, photos: PhotoDataset, loss: BceDice, *, batch: int, fabric: Fabric) -> Judged:
    """Predict photographs as they are, and count; the tiles of one that is cropped are added up."""
    soft, hard = (np.zeros((len(photos), 3)) for _ in range(2))
    seen = np.zeros(len(photos), np.bool_)
    total = pixels = 0.0
    for samples in photos.in_order(batch):
        given = fabric.to_device(samples)
        with torch.inference_mode(), fabric.autocast():
            logits = model(given["image"]).float()
            terms = loss(logits, given["target"], given["supervision"])
        counted = float(samples["supervision"].sum())
        total, pixels = total + counted * float(terms.total), pixels + counted
        index = samples["photo"].numpy()
        found = PhotoOverlap.of(
            torch.sigmoid(logits).cpu().numpy(), samples["target"].numpy(), samples["supervision"].numpy()
        )
        np.add.at(soft, index, found.soft)
        np.add.at(hard, index, found.hard)
        seen[index] = True
    names = tuple(photo.name for photo, there in zip(photos.photos, seen, strict=True) if there)
    return Judged(
        names=names, overlap=PhotoOverlap(soft=soft[seen], hard=hard[seen]), loss=total / pixels if pixels else np.nan
    )


def write_overlaps(path: Path, judged: Judged) -> None:
    """Write the sums of every photograph as CSV, whole or not at all; every digit, since tables are made of them."""
    out = StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, soft, hard in zip(judged.names, judged.overlap.soft, judged.overlap.hard, strict=True):
        table.writerow([name, *map(repr, soft.tolist()), *map(repr, hard.tolist())])
    write_whole(path, out.getvalue())


def read_overlaps(path: Path) -> tuple[tuple[str, ...], PhotoOverlap]:
    """Read the names and sums that `write_overlaps` wrote.

    Raises
    ------
    SourceError
        It is no such table.
    """
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise SourceError(f"{path} should have the columns {', '.join(COLUMNS)}; train the segmenter again.")
    sums = np.array([[float(value) for value in row[1:]] for row in rows]).reshape(-1, 6)
    return tuple(row[0] for row in rows), PhotoOverlap(soft=sums[:, :3], hard=sums[:, 3:])
