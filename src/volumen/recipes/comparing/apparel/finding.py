"""Finding: for every query the photographs that an encoder finds nearest, and how alike their tags are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import torch

from volumen.evaluation.nearest import nearest
from volumen.evaluation.retrieval import retrieval_overlap
from volumen.evaluation.scaled import ScaledRows
from volumen.models.photo_encoder import build_photo_encoder
from volumen.models.tagger_checkpoint import load_tagger
from volumen.recipes.first_weights import digest, take_encoder
from volumen.recipes.photos.photo_start import encoder_of, measure_photos
from volumen.recipes.photos.triplet_task import EMBEDDER
from volumen.recipes.photos.vocabulary import tag_matrix
from volumen.run_folder import weights_file
from volumen.settings.comparing import RANDOM
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lightning_fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.recipes.comparing.apparel.background import Foreground
    from volumen.recipes.comparing.apparel.cells import ApparelCell
    from volumen.settings.compare_apparel import CompareApparel

_UNMEASURED = ("nothing", "spark")  # works whose encoders never saw whole photographs, so that norms do not fit them
_UNTAGGED = ("rotation", "spark")  # works that show an encoder no tags


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What an encoder answered to the queries.

    Parameters
    ----------
    names
        Of the queries that could be read.
    found
        Names of what was found for each, nearest first, (queries, k).
    overlap
        Of the tags of each query with those of what was found, (queries,).
    made_by
        What it was found with: `origin_of`.
    """

    names: tuple[str, ...]
    found: NDArray[np.str_]
    overlap: NDArray[np.float64]
    made_by: str

    @classmethod
    def read(cls, file: Path) -> Answers:
        """Read what `write` wrote."""
        with np.load(file, allow_pickle=False) as held:
            made_by = str(held["made_by"]) if "made_by" in held else ""
            names = tuple(map(str, held["names"]))
            return cls(names=names, found=held["found"], overlap=held["overlap"], made_by=made_by)

    def write(self, file: Path) -> None:
        """Write a file, whole or not at all."""
        out = BytesIO()
        made_by = np.array(self.made_by)
        np.savez_compressed(out, names=np.array(self.names), found=self.found, overlap=self.overlap, made_by=made_by)
        write_whole(file, out.getvalue())


def found_file(out: Path, cell: ApparelCell, seed: int, *, masked: bool) -> Path:
    """Return where it is kept what the encoder of a cell found."""
    return out / "found" / cell.name / f"seed{seed}-{'masked' if masked else 'whole'}.npz"


def origin_of(cell: ApparelCell, chosen: CompareApparel, seed: int, segmenter: str | None) -> str:
    """Tell weights and how they are read, so that what other ones found is not taken for theirs.

    Parameters
    ----------
    segmenter
        SHA-256 of the weights that take the background away; None where it stays.
    """
    file = _weights(cell, chosen, seed)
    weights = f"random weights of seed {seed}" if file is None else digest(file)
    return f"{weights}, {_maps(cell)} maps, {segmenter or 'whole'}"


def embedder_of(
    cell: ApparelCell, chosen: CompareApparel, seed: int, photos: PhotoDataset, fabric: Fabric
) -> Callable[[Tensor], Tensor]:
    """Return what maps photographs, N3HW on the device, to the vectors that a cell's encoder gives.

    Of triplets those are the embeddings that distances were learned in, of all others the pooled deepest features;
    of those that saw no tags the two deepest maps', side by side, since the last of all serves a pretext most, and
    random weights are what pretexts are held against. Norm statistics of random weights and of SparK's, which saw
    patches, are measured on photographs first.
    """
    file = _weights(cell, chosen, seed)
    if file is not None and cell.work in ("triplet", "tagger"):
        tagger, _ = load_tagger(file)
        fabric.to_device(tagger)
        return tagger if cell.work == "triplet" else tagger.features
    encoder = None if file is None else str(file)
    torch.manual_seed(seed)  # the weights that the other random starts of this seed have
    model = build_photo_encoder(outputs=1, **encoder_of(chosen, encoder)).eval()
    take_encoder(model, encoder, least=chosen.least_loaded)
    fabric.to_device(model)
    if cell.work in _UNMEASURED and cell.start != "imagenet":
        measure_photos(model, photos, batch=chosen.batch, fabric=fabric)
    return partial(model.features, maps=_maps(cell))


def find(
    look: Callable[[Tensor], Tensor],
    index: PhotoDataset,
    queries: PhotoDataset,
    foregrounds: tuple[Foreground, Foreground] | None,
    *,
    k: int,
    batch: int,
    fabric: Fabric,
    made_by: str,
) -> Answers:
    """Embed what is searched and the queries, black outside their foregrounds if given, and find the nearest.

    Vectors are compared by their directions, all of length 1, as those of triplets are already.
    """
    known, rows = _embed(look, index, foregrounds and foregrounds[0], batch=batch, fabric=fabric)
    asked, shown = _embed(look, queries, foregrounds and foregrounds[1], batch=batch, fabric=fabric)
    near = nearest(ScaledRows.of(known, "unit"), ScaledRows.of(asked, "unit")[:], min(k, len(known)))
    tags = [
        tag_matrix([photos.photos[int(i)] for i in kept], photos.tags).numpy()
        for photos, kept in ((queries, shown), (index, rows))
    ]
    names = np.array([index.photos[int(row)].name for row in rows])
    return Answers(
        names=tuple(queries.photos[int(row)].name for row in shown),
        found=names[near.index],
        overlap=retrieval_overlap(tags[0], tags[1], near.index),
        made_by=made_by,
    )


def _weights(cell: ApparelCell, chosen: CompareApparel, seed: int) -> Path | None:
    """Return the file with a cell's encoder, None of random weights."""
    if cell.work == "nothing":
        given = cell.encoder(chosen, seed)
        return None if given is None else weights_file(given)
    folder = cell.folder(chosen.out, seed)
    return folder / EMBEDDER if cell.work == "triplet" else weights_file(folder)


def _maps(cell: ApparelCell) -> int:
    """Return how many of an encoder's deepest maps are read."""
    return 2 if cell.work in _UNTAGGED or (cell.work == "nothing" and cell.start == RANDOM) else 1


def _embed(
    look: Callable[[Tensor], Tensor],
    photos: PhotoDataset,
    foreground: Foreground | None,
    *,
    batch: int,
    fabric: Fabric,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the vectors (N, C) of photographs that can be read, and which these are."""
    vectors, index = [], []
    for each in photos.in_order(batch):
        image = each["image"] if foreground is None else each["image"] * foreground.of(each["photo"])
        with torch.inference_mode(), fabric.autocast():
            vectors.append(look(fabric.to_device(image)).float().cpu())
        index.append(each["photo"])
    return torch.cat(vectors).numpy(), torch.cat(index).numpy()
