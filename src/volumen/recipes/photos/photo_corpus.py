"""PhotoCorpus: the photographs that a training learns from, and those that it is scored on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from volumen.crops.photo_split import PhotoSplit, split_photos
from volumen.errors import LabelError
from volumen.events import Warned
from volumen.sources.left_out import told
from volumen.sources.photos.read_photos import read_photos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.events import Event
    from volumen.settings.photos import PhotoSource
    from volumen.sources.photos.photo import Photo, PhotoList
    from volumen.training.run import Run


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoCorpus:
    """Photographs in two parts.

    Parameters
    ----------
    split
        What to learn from, and what to hold out.
    identities
        What the data are; a run resumes only on the same.
    warnings
        What was left out, and why.
    """

    split: PhotoSplit
    identities: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, settings: PhotoSource, *, usable: Callable[[Photo], bool] | None = None, lack: str = "") -> PhotoCorpus:
        """Read the photographs and part them.

        All of them are parted before any is left out: what is held out of one task is held out of every other.

        Parameters
        ----------
        settings
            Where they are, and how they are parted.
        usable
            Which of them can be learned from; None takes all.
        lack
            What the others lack, in words.

        Raises
        ------
        SourceError, SourceNotFoundError
            They cannot be read.
        LabelError
            Too few can be learned from.
        SettingsError
            There are too few to part.
        """
        found = read_photos(settings.photos)
        whole = split_photos(found.photos, held_out_share=settings.held_out_share, seed=settings.split_seed)
        parts = [
            tuple(photo for photo in part if usable is None or usable(photo)) for part in (whole.train, whole.held_out)
        ]
        split = PhotoSplit(train=parts[0], held_out=parts[1])
        left = len(found.photos) - len(split.train) - len(split.held_out)
        if not split.train or not split.held_out:
            raise LabelError(
                f"Expected photographs to learn from and some to hold out; got {len(split.train)} and "
                f"{len(split.held_out)} of {len(found.photos)} in {found.source}, {left} being {lack}. Give more, or "
                "hold out another share."
            )
        warnings = [f"{found.source}: left out {told(found.dropped)}."] if found.dropped else []
        warnings += [f"{found.source}: {told(found.clipped)}."] if found.clipped else []
        warnings += [f"Left out {left} of {len(found.photos)} photographs: {lack}."] if left else []
        return cls(split=split, identities=(_identity(found),), warnings=tuple(warnings))

    @classmethod
    def annotated(cls, settings: PhotoSource) -> PhotoCorpus:
        """Read and part photographs, and leave out those without polygons or mask, as `of` does and raises."""
        return cls.of(
            settings, usable=lambda photo: photo.annotated, lack="without polygons or mask, which is not background"
        )

    @property
    def found(self) -> dict[str, Any]:
        """What a run records of its data."""
        return {"photos": {"train": len(self.split.train), "held_out": len(self.split.held_out)}}


def _identity(found: PhotoList) -> dict[str, Any]:
    digest = hashlib.sha256()
    for photo in found.photos:
        marked = (photo.mask is not None, photo.polygons)
        digest.update(repr((photo.name, photo.size, photo.tags, marked)).encode())
    return {"name": found.source, "source": found.source, "photos": len(found.photos), "list_hash": digest.hexdigest()}


def left_out(dataset: PhotoDataset) -> list[str]:
    """Say which photographs were found broken so far: damage inside an image shows when it is read."""
    return [f"Left out: {reason}: {photos}." for reason, photos in dataset.skipped.items()]


def warn_broken(run: Run, *datasets: PhotoDataset) -> Iterator[Event]:
    """Record and yield what was found broken since the training began."""
    for text in dict.fromkeys(text for dataset in datasets for text in left_out(dataset)):
        warned = Warned(message=text)
        run.record(warned)
        yield warned
