"""LineForm and LineBatch: images of lines at one height, left-aligned side by side, with their widths."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from volumen.errors import SettingsError, SourceError
from volumen.sources.arrays.luminance import luminance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.crops.alphabet import Alphabet

FRAME = 4
"""Pixels along a line that a frame of a recogniser stands for; a narrower image gives it nothing to read."""


@dataclass(frozen=True, kw_only=True)
class LineForm:
    """The size, and the range of greys, that images of lines are brought to.

    Parameters
    ----------
    height
        In px.
    width
        In px, for every line alike, as the papers stretch them; None keeps each line's aspect.
    widest
        Most px along a line; what is longer, once it has the height, is no line.
    stretched
        Stretch the greys of each line, so that its darkest and lightest hundredth are 0 and 1: pale ink on grey paper
        then looks like black ink on white. Otherwise they stay as they are in the file.
    rows
        Share of an image's rows that are kept, in (0, 1]: the band with most ink. Lines that were cut with much blank
        above and below then fill the height, all at one scale.

    Raises
    ------
    SettingsError
        If a size is less than one px, the width less than a frame, or no row is kept.

    Examples
    --------
    >>> LineForm()(np.zeros((32, 100), np.uint8)).shape
    torch.Size([1, 64, 200])
    >>> PAPER(np.zeros((50, 200, 4), np.uint8)).shape
    torch.Size([1, 32, 100])
    """

    height: int = 64
    width: int | None = None
    widest: int = 8192
    stretched: bool = False
    rows: float = 1.0

    def __post_init__(self) -> None:
        if self.height < 1 or (self.width is not None and self.width < FRAME) or self.widest < FRAME:
            raise SettingsError(
                f"A line is at least 1 px high and {FRAME} px wide; got height {self.height}, width {self.width} and "
                f"widest {self.widest}."
            )
        if not 0 < self.rows <= 1:
            raise SettingsError(f"The share of the rows that are kept lies above 0 and is 1 at most; got {self.rows}.")

    def width_of(self, size: tuple[int, int]) -> int:
        """Return the px along the line that an image of (H, W) px will have."""
        height, width = self._kept(size[0]), size[1]
        return self.width or max(1, (2 * width * self.height + height) // (2 * height))  # rounded half up

    def fault(self, size: tuple[int, int]) -> str:
        """Say why an image of (H, W) px cannot be used; empty where it can.

        Examples
        --------
        >>> LineForm().fault((64, 3))
        'narrower than a frame of 4 px, at height 64'
        """
        if min(size) < 1 or self.width_of(size) < FRAME:
            return f"narrower than a frame of {FRAME} px, at height {self.height}"
        if self.width_of(size) > self.widest:
            return f"wider than {self.widest} px, at height {self.height}"
        return ""

    def resize(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring an image, YX, to this form, YX.

        Raises
        ------
        SourceError
            If it is narrower than a frame, or longer than any line.
        """
        height, width = pixels.shape
        reason = self.fault((height, width))
        if reason:
            raise SourceError(f"An image of {height} x {width} px (H x W) is {reason}; leave it out or cut it again.")
        size = (self.width_of((height, width)), self.height)
        pixels = _band(pixels, self._kept(height))
        if size != pixels.shape[::-1]:
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        return _stretch(pixels) if self.stretched else pixels

    def __call__(self, pixels: NDArray[Any]) -> Tensor:
        """Bring an image of any size and mode to this form.

        Parameters
        ----------
        pixels
            YX or YXC: grey, grey and alpha, RGB or RGBA; 1-bit, 8-bit, 16-bit, or floating in [0, 1]. What is
            transparent is white.

        Returns
        -------
        Tensor
            Float32 (1, H, W) in [0, 1].

        Raises
        ------
        SourceError
            If it is no such image, narrower than a frame, or longer than any line.
        """
        return to_tensor(self.resize(_grey(pixels)))

    def _kept(self, height: int) -> int:
        """Return how many rows of so many are kept."""
        return math.ceil(self.rows * height)


def unlike_forms(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in what a form differs from a former one, both as ``dataclasses.asdict`` gives them.

    Examples
    --------
    >>> unlike_forms({"height": 64, "width": None}, {"height": 32, "width": None, "rows": 1.0})
    ['height 64, now 32']
    """
    return [f"{name} {then[name]}, now {value}" for name, value in now.items() if then.get(name, value) != value]


PAPER = LineForm(height=32, width=100)
"""The form of SeqCLR and of the recognisers before it: 32 × 100 px, aspect not kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LineSample:
    """An image of a line, ready to be learned from.

    Parameters
    ----------
    image
        Float32 (1, H, W) in [0, 1].
    text
        What is written there.
    name
        The line's.
    """

    image: Tensor
    text: str
    name: str


@dataclass(frozen=True, kw_only=True, eq=False)
class LineBatch:
    """Lines side by side.

    Parameters
    ----------
    images
        Float32 (N, 1, H, W) in [0, 1], each left-aligned, 0 to the right of it; W is a multiple of 4.
    widths
        int64 (N,): px of each row that are its image's; nothing counts beyond.
    texts, names
        Of each row.
    again
        Another view of each line, in the form of ``images`` and with its widths; None where there is but one.
    """

    images: Tensor
    widths: Tensor
    texts: tuple[str, ...]
    names: tuple[str, ...]
    again: Tensor | None = None

    def tensors(self, alphabet: Alphabet | None = None) -> dict[str, Tensor]:
        """Return what `volumen.training.loop.fit` takes: tensors that share their first axis, N.

        Returns
        -------
        dict
            ``images`` and ``widths``; ``again``, where there is another view; with an alphabet ``targets`` and
            ``target_lengths``, as `Alphabet.targets` returns them.
        """
        found = {"images": self.images, "widths": self.widths}
        if self.again is not None:
            found["again"] = self.again
        if alphabet is not None:
            found["targets"], found["target_lengths"] = alphabet.targets(self.texts)
        return found

    def rows(self, part: slice) -> LineBatch:
        """Return some of the lines, as wide as all are."""
        again = None if self.again is None else self.again[part]
        return LineBatch(
            images=self.images[part],
            widths=self.widths[part],
            texts=self.texts[part],
            names=self.names[part],
            again=again,
        )

    def pin(self) -> LineBatch:
        """Return the batch in page-locked memory, from which a CUDA device copies while it computes."""
        again = None if self.again is None else self.again.pin_memory()
        return replace(self, images=self.images.pin_memory(), widths=self.widths.pin_memory(), again=again)


def collate(samples: Sequence[LineSample], again: Sequence[LineSample] = ()) -> LineBatch:
    """Lay samples side by side.

    Parameters
    ----------
    samples
        Of one height, each as wide as it is.
    again
        Another view of each of them, of its size, or none.

    Raises
    ------
    SettingsError
        If there are none, their heights differ, or other views are of other sizes.
    """
    heights = {sample.image.shape[-2] for sample in samples}
    if len(heights) != 1:
        raise SettingsError(f"A batch is images of one height, one at least; got heights {sorted(heights)}.")
    if again and [other.image.shape for other in again] != [sample.image.shape for sample in samples]:
        raise SettingsError("Two views of a line must be of one size; use one that keeps it.")
    return LineBatch(
        images=_side_by_side(samples),
        widths=torch.tensor([sample.image.shape[-1] for sample in samples], dtype=torch.int64),
        texts=tuple(sample.text for sample in samples),
        names=tuple(sample.name for sample in samples),
        again=_side_by_side(again) if again else None,
    )


def _side_by_side(samples: Sequence[LineSample]) -> Tensor:
    """Return images as (N, 1, H, W), left-aligned, 0 to their right, W a multiple of a frame."""
    widest = max(sample.image.shape[-1] for sample in samples)
    images = torch.zeros(len(samples), 1, samples[0].image.shape[-2], -(-widest // FRAME) * FRAME)
    for row, sample in zip(images, samples, strict=True):
        row[..., : sample.image.shape[-1]] = sample.image
    return images


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Return an image, YX, as float32 (1, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(255))[None]


def _band(pixels: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """Cut out so many neighbouring rows, those that differ most from the paper; of equals the most central."""
    if rows >= len(pixels):
        return pixels
    ink = np.abs(pixels - np.float32(np.median(pixels))).sum(axis=1, dtype=np.float64)
    sums = np.lib.stride_tricks.sliding_window_view(ink, rows).sum(axis=1)
    most = np.flatnonzero(sums == sums.max())
    top = int(most[np.argmin(np.abs(2 * most + rows - len(pixels)))])
    return pixels[top : top + rows]


def _stretch(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring the first and the last hundredth of the greys to 0 and 255; an even image stays as it is."""
    dark, light = np.percentile(pixels, (1, 99))
    if light - dark < 1:
        return pixels
    stretched: NDArray[np.uint8] = np.rint((pixels - dark) * (255 / (light - dark))).clip(0, 255).astype(np.uint8)
    return stretched


def _grey(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image, YX or YXC, as 8-bit grey, YX."""
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and not 1 <= pixels.shape[2] <= 4) or not pixels.size:
        raise SourceError(f"Expected an image YX, or YXC of one to four channels; got shape {pixels.shape}.")
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
            raise SourceError("Expected greys in [0, 1] in a floating image; got others. Scale it, or pass 8 bit.")
        pixels = np.rint(pixels * 255).astype(np.uint8)
    elif pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise SourceError(f"Expected an image of 1, 8 or 16 bit, or floating; got {pixels.dtype}.")
    return luminance(pixels, ground=1.0) if pixels.ndim == 3 else pixels
