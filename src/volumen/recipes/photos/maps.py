"""Photo maps: what a segmenter sees in some held-out photographs, kept as pictures beside its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from volumen.crops.photo_images import to_chw
from volumen.crops.select import spread
from volumen.errors import SourceError, SourceNotFoundError
from volumen.evaluation import pictures
from volumen.recipes.reporting.page import slug
from volumen.whole_files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lightning_fabric import Fabric
    from numpy.typing import NDArray
    from torch import nn

    from volumen.crops.photo_dataset import PhotoDataset

FOLDER = "maps"
SHOWN = 8
"""Most photographs of which a run keeps the map."""


def write_maps(run: Path, model: nn.Module, photos: PhotoDataset, *, fabric: Fabric) -> None:
    """Write the maps of up to `SHOWN` photographs, spread evenly, as PNG of 8 bit, each as large as its photograph is
    seen: at the size that it is resized to, or native.
    """  # noqa: D205
    chosen = spread(tuple(range(len(photos))), SHOWN)
    content: dict[str, str | bytes] = {}
    for index in chosen:
        try:
            probability = predict_photo(model, photos, index, fabric=fabric)
        except (SourceError, SourceNotFoundError):
            continue  # named already, when it was scored
        content[map_name(index, photos.photos[index].name)] = pictures.png((probability * 255).round().astype(np.uint8))
    write_all(run / FOLDER, content)


def map_name(index: int, name: str) -> str:
    """Return the file of a photograph's map, by its place among the held-out ones and its name.

    Examples
    --------
    >>> map_name(3, "street/img 7")
    '0003-street-img-7.png'
    """
    return f"{slug(f'{index:04d}', name)}.png"


def predict_photo(model: nn.Module, photos: PhotoDataset, index: int, *, fabric: Fabric) -> NDArray[np.float32]:
    """Return the probabilities of one photograph, YX in [0, 1], as large as it is seen.

    Raises
    ------
    SourceError, SourceNotFoundError
        Its image or mask is damaged, or gone.
    """
    decoded = photos.decoded(index)
    height, width = decoded.pixels.shape[:2]
    out = np.zeros((height, width), np.float32)
    for window, tile in _tiles(photos, index):
        image = fabric.to_device(torch.from_numpy(to_chw(tile))[None])  # CHW -> 1CHW
        with torch.inference_mode(), fabric.autocast():
            probability = torch.sigmoid(model(image).float())[0, 0].cpu().numpy()
        inner = out[window]
        inner[...] = probability[: inner.shape[0], : inner.shape[1]]
    return out


def _tiles(photos: PhotoDataset, index: int) -> Iterator[tuple[tuple[slice, slice], NDArray[np.uint8]]]:
    decoded = photos.decoded(index)
    if photos.fit == "resize":
        yield (slice(None), slice(None)), decoded.pixels
        return
    for window in decoded.tiles(photos.size):
        yield window.yx, decoded.cut(window).pixels
