"""LineDataset: lines in, images of one form out, the same ones for the same seed; broken ones are named and skipped."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from volumen.crops.line_images import LineForm, LineSample, collate, to_tensor
from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.arrays.recent import Recent
from volumen.sources.left_out import MISSING_IMAGE, UNREADABLE_IMAGE, Drops, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.crops.line_images import LineBatch
    from volumen.sources.left_out import Dropped
    from volumen.sources.lines.line import Line

CACHE_BYTES = 512 * 2**20
"""Default room for images in their form: 512 MiB hold about 16,000 lines of 64 × 512 px."""


class LineView(Protocol):
    """An augmentation of a line: drawn into a value, then applied, before anything is padded."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, int, int], /) -> Any:
        """Draw parameters for an image of ``shape`` CHW."""
        ...

    def apply(self, params: Any, image: Tensor, /) -> Tensor:
        """Apply drawn parameters to an image CHW in [0, 1]; its height stays."""
        ...


class LineDataset(Dataset[LineSample]):
    """Images of lines with their texts, in every epoch augmented differently.

    A sample depends on ``(seed, epoch, index, copy)`` alone, so any thread or resumed run makes the same. Decoded
    images are kept in their form, 8 bit, up to ``cache_bytes``; the lines of one page are cut out of it together.

    Parameters
    ----------
    lines
        As `read_lines` returns them, or some of them. Those whose header cannot be read, or that are narrower than a
        frame or longer than any line, are left out and counted.
    form
        The size that images are brought to.
    view
        Augmentation, or None for the lines as they are.
    seed
        Of the augmentation.
    cache_bytes
        Most memory to hold images in.

    Raises
    ------
    SourceError
        If no line is left.

    Examples
    --------
    >>> dataset = LineDataset(read_lines("handwriting/words.tsv").lines)  # doctest: +SKIP
    >>> dataset.batch([0, 1], epoch=0).images.shape  # doctest: +SKIP
    torch.Size([2, 1, 64, 120])
    """

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        form: LineForm | None = None,
        view: LineView | None = None,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.form = form or LineForm()
        self._view, self._seed = view, seed
        self._reasons: dict[tuple[str, str], tuple[str, str]] = {}  # (file, name) -> why, short and long
        kept = [(line, size) for line in lines if (size := self._size(line)) is not None]
        if not kept:
            raise SourceError(f"Expected lines whose images can be used; left out {told(self.skipped) or 'nothing'}.")
        self.lines = tuple(line for line, _ in kept)
        self.widths: NDArray[np.int64] = np.array([self.form.width_of(size) for _, size in kept], dtype=np.int64)
        self._kept = Recent(cache_bytes)
        self._together = self._of_one_page(cache_bytes)

    @property
    def skipped(self) -> Mapping[str, Dropped]:
        """Reason in words -> lines that were left out for it, so far: what is broken inside shows when it is read."""
        drops = Drops()
        for (_, name), (reason, said) in self._reasons.copy().items():  # threads may add to it meanwhile
            drops.add(reason, name, said)
        return drops.counted()

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> LineSample:
        """Return the sample of epoch 0."""
        return self.sample(index, epoch=0)

    def sample(self, index: int, *, epoch: int, copy: int = 0) -> LineSample:
        """Read one line, bring it to the form and augment it.

        Parameters
        ----------
        index
            In `lines`.
        epoch, copy
            Draw the view: copies of a line in one epoch are views of their own.

        Raises
        ------
        SourceError, SourceNotFoundError
            Its image is damaged, or gone.
        """
        return self._seen(index, self._image(index), epoch, copy)

    def batch(self, indices: Iterable[int], *, epoch: int, twice: bool = False, full: bool = False) -> LineBatch | None:
        """Lay lines side by side; those whose images are broken are named in `skipped` and left out.

        Parameters
        ----------
        indices
            In `lines`, each once.
        epoch
            Draws the views.
        twice
            Draw two views of each line; the second is ``again`` of the batch.
        full
            Put in the place of a broken image that which follows it in width, so that a step has all its lines.

        Returns
        -------
        LineBatch or None
            None where every image is broken.
        """
        wanted = [int(index) for index in indices]
        images: dict[int, NDArray[np.uint8]] = {}
        for index in wanted:
            for candidate in chain([index], self._following(index) if full else ()):  # sorts nothing before it must
                taken = candidate != index and (candidate in wanted or candidate in images)
                if not taken and (pixels := self._readable(candidate)) is not None:
                    images[candidate] = pixels
                    break
        if not images:
            return None
        views = ([self._seen(*item, epoch, copy) for item in images.items()] for copy in range(1 + twice))
        return collate(*views)

    def _following(self, index: int) -> Iterator[int]:
        """Yield the other lines, those that follow in width first."""
        order = np.argsort(self.widths, kind="stable")
        place = int(np.flatnonzero(order == index)[0])
        yield from map(int, np.roll(order, -place)[1:])

    def _seen(self, index: int, pixels: NDArray[np.uint8], epoch: int, copy: int) -> LineSample:
        """Return a line in its form, YX, as it is seen in an epoch."""
        line, image = self.lines[index], to_tensor(pixels)
        if self._view is not None:
            shape = (1, image.shape[1], image.shape[2])
            drawn = self._view.draw(np.random.default_rng([self._seed, epoch, index, copy]), shape)
            image = self._view.apply(drawn, image)
        return LineSample(image=image, text=line.text, name=line.name)

    def _readable(self, index: int) -> NDArray[np.uint8] | None:
        """Return a line in its form, YX, or None, and name it, where its image is broken."""
        try:
            return self._image(index)
        except (SourceError, SourceNotFoundError) as error:
            self._skip(self.lines[index], error)
            return None

    def _image(self, index: int) -> NDArray[np.uint8]:
        """Return a line in its form, YX."""

        def read() -> NDArray[np.uint8]:
            for other in self._together.get(index, ()):  # the page is decoded now, and perhaps not again soon
                self._kept.get(other, lambda other=other: self._decoded(other), _nbytes)  # type: ignore[misc]
            return self._decoded(index)

        image: NDArray[np.uint8] = self._kept.get(index, read, _nbytes)
        return image

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        segment = self.lines[index].segment
        return self.form.resize(segment.read(segment.window)[0])

    def _of_one_page(self, cache_bytes: int) -> dict[int, tuple[int, ...]]:
        """Return line -> the other lines of its page, where all of them fit the cache well."""
        pages: dict[str, list[int]] = defaultdict(list)
        for index, line in enumerate(self.lines):
            if line.outline:
                pages[line.location.path].append(index)
        fitting = (
            group for group in pages.values() if self.form.height * int(self.widths[group].sum()) <= cache_bytes // 4
        )
        return {index: tuple(other for other in group if other != index) for group in fitting for index in group}

    def _size(self, line: Line) -> tuple[int, int] | None:
        """Return (H, W) of a line in the file, or None, and count it, where it cannot be used."""
        try:
            _, height, width = line.segment.shape
        except (SourceError, SourceNotFoundError) as error:
            self._skip(line, error)
            return None
        reason = self.form.fault((height, width))
        if reason:
            self._reasons[line.location.path, line.name] = (reason, "")
        return None if reason else (height, width)

    def _skip(self, line: Line, error: Exception) -> None:
        gone = isinstance(error, SourceNotFoundError)
        reason = (MISSING_IMAGE, "") if gone else (UNREADABLE_IMAGE, str(error))
        self._reasons[line.location.path, line.name] = reason  # the same one is met again in every epoch


def _nbytes(image: NDArray[np.uint8]) -> int:
    return image.nbytes
