"""Spots: labelled pixels drawn from segments, as many of ink as of background, and what feature maps hold there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from volumen.errors import LabelError
from volumen.evaluation.counts import INK
from volumen.models.unet import STRIDE
from volumen.windows import grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.crops.normalize import Normalization
    from volumen.crops.split import Split
    from volumen.sources.segment import Segment
    from volumen.windows import Window

_TILE = 320  # px; larger windows are cut


@dataclass(frozen=True, kw_only=True)
class Spots:
    """Pixels of known ink and background.

    Parameters
    ----------
    tiles
        Segment and window that holds pixels, over the layers that an encoder sees.
    places
        For each tile the (y, x) of its pixels from the window's corner, int64 (pixels, 2).
    ink
        Whether each pixel of all tiles, in order, is ink; bool (pixels,).
    normalization
        How voxels come to [0, 1].
    """

    tiles: tuple[tuple[Segment, Window], ...]
    places: tuple[Tensor, ...]
    ink: Tensor
    normalization: Normalization

    @classmethod
    def draw(
        cls,
        windows: Sequence[tuple[Segment, Split, Window]],
        *,
        normalization: Normalization,
        pixels: int,
        tiles: int,
        held_out: bool,
        generator: np.random.Generator,
    ) -> Spots:
        """Draw tiles, then pixels of them: as many of ink as of background, so many as there are of the rarer.

        Of the tiles, half are drawn from those with ink, the rest from all with background.

        Parameters
        ----------
        windows
            Where to draw, each with its segment and split.
        normalization
            How voxels come to [0, 1].
        pixels, tiles
            How many at most.
        held_out
            Whether only pixels count that the split holds out; else all that are supervised.
        generator
            Draws.

        Raises
        ------
        LabelError
            There is no ink, or no background, that is supervised.
        """
        drawn, truths = _draw_tiles(windows, tiles, held_out=held_out, generator=generator)
        chosen = [np.zeros(truth.shape, np.bool_) for truth in truths]
        kinds = [_places(truths, kind) for kind in (0, 1)]
        count = min(pixels // 2, *map(len, kinds))
        if not count:
            raise LabelError(
                f"A probe needs ink and background to {'score' if held_out else 'fit'} on; in {len(windows)} windows "
                f"there are {len(kinds[1])} px of ink and {len(kinds[0])} px of background. Give it another region."
            )
        for places in kinds:
            tile, y, x = places[generator.choice(len(places), count, replace=False)].T
            for number in np.unique(tile):
                chosen[number][y[tile == number], x[tile == number]] = True
        kept = [number for number, here in enumerate(chosen) if here.any()]
        return cls(
            tiles=tuple(drawn[number] for number in kept),
            places=tuple(torch.from_numpy(np.argwhere(chosen[number])) for number in kept),
            ink=torch.from_numpy(np.concatenate([truths[number][chosen[number]] == 1 for number in kept])),
            normalization=normalization,
        )

    def read(self, maps: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
        """Return what feature maps hold at the pixels, float64 (pixels, channels) for each scale, on the CPU.

        Parameters
        ----------
        maps
            From an image 1 × layers × H × W in [0, 1], sides multiples of 32 px, to maps 1CHW of any strides.
        """
        rows = []
        for (segment, window), places in zip(self.tiles, self.places, strict=True):
            image = self._image(segment, window)
            rows.append([_sample(features, places, image.shape[2:]) for features in maps(image)])
        return [torch.cat(scale) for scale in zip(*rows, strict=True)]

    def _image(self, segment: Segment, window: Window) -> Tensor:
        image = self.normalization(segment.read(window))
        _, height, width = image.shape
        padded = np.pad(image, ((0, 0), (0, -height % STRIDE), (0, -width % STRIDE)), mode="edge")
        return torch.from_numpy(padded)[None]  # CHW -> 1CHW


def _draw_tiles(
    windows: Sequence[tuple[Segment, Split, Window]], count: int, *, held_out: bool, generator: np.random.Generator
) -> tuple[list[tuple[Segment, Window]], list[NDArray[np.int8]]]:
    """Return tiles in random order, and of each whether its pixels are ink (1), background (0) or unknown (-1), YX."""
    every = list(_cut(windows))
    room = {1: -(-count // 2), 0: count // 2}
    tiles, truths = [], []
    for index in generator.permutation(len(every)):
        segment, split, window = every[index]
        trusted = split.scored(segment, window) if held_out else segment.supervised(window)
        truth = np.where(trusted, segment.raster("ink").read(window) > INK, -1).astype(np.int8)
        kind = next((kind for kind in room if room[kind] and (truth == kind).any()), None)
        if kind is None:
            continue
        room[kind] -= 1
        tiles.append((segment, window))
        truths.append(truth)
        if not any(room.values()):
            break
    return tiles, truths


def _cut(windows: Sequence[tuple[Segment, Split, Window]]) -> Iterator[tuple[Segment, Split, Window]]:
    for segment, split, window in windows:
        for tile in grid(window, _TILE, _TILE):
            inside = (tile & window).clip(segment.shape)
            if not inside.empty:
                yield segment, split, inside


def _places(truths: list[NDArray[np.int8]], kind: int) -> NDArray[np.int64]:
    """Return (tile, y, x) of every pixel of a kind."""
    found = [np.argwhere(truth == kind) for truth in truths]
    tile = np.repeat(np.arange(len(found)), [len(places) for places in found])
    return np.column_stack([tile, np.concatenate([np.zeros((0, 2), np.int64), *found])])


def _sample(features: Tensor, places: Tensor, size: Sequence[int]) -> Tensor:
    """Read a 1CHW map, bilinearly between its cells' centres, at pixels (pixels, 2) of the image it was made from."""
    sides = torch.tensor(size, dtype=torch.float64)
    # pixel centres from -1 to 1 over the image's edges, x before y, as grid_sample counts
    where = ((places + 0.5) * 2 / sides - 1).flip(-1)[None, None].to(features.device, torch.float32)
    read = functional.grid_sample(features.float(), where, padding_mode="border", align_corners=False)
    return read[0, :, 0].T.cpu().double()  # 1 C 1 pixels -> pixels C
