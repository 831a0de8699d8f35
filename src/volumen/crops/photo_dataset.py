"""PhotoDataset: photographs in, samples of one size out, the same ones for the same seed; broken ones are skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from volumen.crops.photo_images import Decoded, to_chw
from volumen.errors import SettingsError, SourceError, SourceNotFoundError
from volumen.sources.arrays.recent import Recent
from volumen.sources.left_out import MISSING_IMAGE, Drops, told
from volumen.windows import height_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.crops.datasets import View
    from volumen.sources.left_out import Dropped
    from volumen.sources.photos.photo import Photo
    from volumen.windows import Size

Labels = Literal["mask", "tags", "none"]
Fit = Literal["resize", "crop"]

CACHE_BYTES = 2 * 1024**3
"""Default room for photographs in memory: 2 GiB hold about 1,600 of 512 × 512 px, or 100 of 2048 × 2048."""

UNUSABLE = "image or mask that cannot be used"


class PhotoDataset(Dataset[dict[str, "Tensor"]]):
    """Photographs at one size with their masks or tags, in every epoch augmented differently.

    A sample depends on ``(seed, epoch, index)`` alone, so any thread or resumed run makes the same. It holds:

    ===============  ============================================================================================
    ``image``        float32 (3, H, W) in [0, 1]
    ``target``       float32 (1, H, W), 0 or 1: what is marked (``mask``)
    ``supervision``  float32 (1, H, W), 0 or 1: what counts, which regions to ignore do not (``mask``)
    ``tags``         float32 (T,), 0 or 1, in the order of the vocabulary (``tags``)
    ===============  ============================================================================================

    Parameters
    ----------
    photos
        As `volumen.sources.photos.read_photos.read_photos` returns them, or some of them.
    labels
        What samples hold beside the image. For ``mask`` those that are not annotated are left out and counted.
    size
        Height and width of the samples in px.
    fit
        ``resize``: the whole photograph at that size, its aspect not kept. ``crop``: a random box of that size at
        native scale, every other time around something marked; what lies beyond the photograph does not count.
    tags
        The vocabulary, for ``tags``.
    background
        Values of masks that are background.
    view
        Augmentation, or None.
    seed
        Of augmentation, crops and order.
    cache_bytes
        Most memory to hold photographs in: as they are shown where they are resized, else whole.

    Raises
    ------
    SettingsError
        Tags are asked for, and there is no vocabulary.
    SourceError
        If no photograph is left.

    Examples
    --------
    >>> dataset = PhotoDataset(read_photos("apparel/labels.csv").photos, size=224)  # doctest: +SKIP
    >>> dataset[0]["target"].shape  # doctest: +SKIP
    torch.Size([1, 224, 224])
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        *,
        labels: Labels = "mask",
        size: Size = 512,
        fit: Fit = "resize",
        tags: Sequence[str] = (),
        background: tuple[int, ...] = (0,),
        view: View | None = None,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if labels == "tags" and not tags:
            raise SettingsError("Expected tags to learn; got none. Give the vocabulary, such as the tags of the list.")
        self.labels, self.size, self.fit, self.tags = labels, height_width(size), fit, tuple(tags)
        self._background, self._view, self._seed = background, view, seed
        self._reasons: dict[str, tuple[str, str]] = {}  # name -> (reason in words, what exactly)
        self.photos = tuple(photo for photo in photos if labels != "mask" or photo.annotated)
        kept = {photo.name for photo in self.photos}
        for photo in photos:
            if photo.name not in kept:
                self._reasons[photo.name] = ("neither polygons nor mask", "")
        if not self.photos:
            raise SourceError(f"Expected photographs to learn from; left out {told(self.skipped) or 'nothing'}.")
        self._kept = Recent(cache_bytes)

    @property
    def skipped(self) -> Mapping[str, Dropped]:
        """Reason in words -> photographs left out for it, so far: what is broken inside shows when it is read."""
        drops = Drops()
        for name, (reason, _) in self._reasons.copy().items():  # threads may add to it meanwhile
            drops.add(reason, name)
        return drops.counted()

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return the sample of epoch 0."""
        return self.sample(index, epoch=0)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return every index once, in the order of an epoch."""
        return np.random.default_rng([self._seed, epoch]).permutation(len(self))

    def sample(self, index: int, *, epoch: int) -> dict[str, Tensor]:
        """Read one photograph, bring it to the size and augment it.

        One that is broken is named in `skipped`, and the next that is not stands in for it.

        Raises
        ------
        SourceError
            None can be read any more.
        """
        generator = np.random.default_rng([self._seed, epoch, index])
        for candidate in (*range(index, len(self)), *range(index)):
            decoded = self._readable(candidate)
            if decoded is not None:
                if self.fit == "crop":
                    decoded = decoded.cut(decoded.draw_window(generator, self.size))
                return self._tensors(candidate, decoded, generator)
        raise SourceError(f"None of the photographs can be read any more: {told(self.skipped)}.")

    def in_order(self, batch: int) -> Iterator[dict[str, Tensor]]:
        """Yield every photograph once, without augmentation, in batches; broken ones are named and left out.

        Where photographs are cropped, tiles of each come instead, row by row, which cover it without overlap.

        Yields
        ------
        dict
            The samples' tensors, stacked, and ``photo``, int64 (N,): the index of each sample's photograph.
        """
        waiting: list[dict[str, Tensor]] = []
        for index in range(len(self)):
            decoded = self._readable(index)
            if decoded is None:
                continue
            shown = map(decoded.cut, decoded.tiles(self.size)) if self.fit == "crop" else [decoded]
            for each in shown:
                waiting.append({**self._tensors(index, each, None), "photo": torch.tensor(index)})
                if len(waiting) == batch:
                    yield _stacked(waiting)
                    waiting = []
        if waiting:
            yield _stacked(waiting)

    def decoded(self, index: int) -> Decoded:
        """Return a photograph and its mask as they are in memory: resized, or whole where they are cropped.

        Raises
        ------
        SourceError, SourceNotFoundError
            Its image or mask is damaged, or gone.
        """
        kept: Decoded = self._kept.get(index, lambda: self._decode(self.photos[index]), lambda each: each.nbytes)
        return kept

    def _decode(self, photo: Photo) -> Decoded:
        pixels = photo.pixels()
        flats = np.zeros((0, *photo.size), np.bool_)
        if self.labels == "mask":
            flats = np.stack([photo.target(background=self._background), photo.supervision()])
        decoded = Decoded(pixels=pixels, flats=flats)
        return decoded.resized(self.size) if self.fit == "resize" else decoded

    def _readable(self, index: int) -> Decoded | None:
        """Return a photograph, or None, and name it, where it is broken."""
        name = self.photos[index].name
        if name in self._reasons:
            return None
        try:
            return self.decoded(index)
        except SourceNotFoundError as error:
            self._reasons[name] = (MISSING_IMAGE, str(error))
        except SourceError as error:
            self._reasons[name] = (UNUSABLE, str(error))
        return None

    def _tensors(self, index: int, decoded: Decoded, generator: np.random.Generator | None) -> dict[str, Tensor]:
        """Return what a sample holds; augmented where there is a generator."""
        image = torch.from_numpy(to_chw(decoded.pixels))
        flats = [torch.from_numpy(flat[None].astype(np.float32)) for flat in decoded.flats]  # YX -> 1YX
        if self._view is not None and generator is not None:
            shape = (image.shape[0], image.shape[1], image.shape[2])
            drawn = self._view.draw(generator, shape)
            image, *flats = self._view.apply(drawn, image, *(flats or [torch.ones(1, *shape[1:])]))
        if self.labels == "mask":
            return {"image": image, "target": flats[0], "supervision": flats[1]}
        if self.labels == "tags":
            known = self.photos[index].tags
            return {"image": image, "tags": torch.tensor([float(tag in known) for tag in self.tags])}
        return {"image": image}


def _stacked(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
