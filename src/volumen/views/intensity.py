"""Intensity: changes of grey, noise, blur and holes, on images in [0, 1].

Published strengths are meant for grey values of 0 … 255; here they are divided by 255, so that they mean the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, uniform_filter

from volumen.windows import height_width

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from volumen.windows import Size

Tap = tuple[int, int, float]
"""Shift along Y, shift along X, weight."""


@dataclass(frozen=True, kw_only=True)
class Adjust:
    """Change contrast and brightness: ``gain · image + offset``, cut to [0, 1]."""

    gain: float
    offset: float

    @classmethod
    def draw(cls, generator: np.random.Generator, *, brightness: float = 0.2, contrast: float = 0.2) -> Adjust:
        """Draw a gain in 1 ± ``contrast`` and an offset in ±``brightness`` of the full range."""
        gain = 1 + generator.uniform(-contrast, contrast)
        return cls(gain=gain, offset=generator.uniform(-brightness, brightness))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the changed image, CHW."""
        return (image * self.gain).add_(self.offset).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add Gaussian noise of standard deviation ``sigma``, another one for every voxel, and cut to [0, 1]."""

    sigma: float
    seed: int

    @classmethod
    def draw(cls, generator: np.random.Generator, *, variance: tuple[float, float] = (10.0, 50.0)) -> Noise:
        """Draw a variance, in squared grey values of 0 … 255, and the seed of the noise."""
        sigma = math.sqrt(generator.uniform(*variance)) / 255
        return cls(sigma=sigma, seed=int(generator.integers(2**62)))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the noisy image, CHW; the same noise every time."""
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(self.seed))
        return noise.mul_(self.sigma).add_(image).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class GaussianBlur:
    """Blur with a Gaussian kernel ``side`` px wide, sigma following from the side as in OpenCV."""

    side: int

    @classmethod
    def draw(cls, generator: np.random.Generator, *, sides: tuple[int, ...] = (3, 5, 7)) -> GaussianBlur:
        """Draw one of the odd ``sides``."""
        return cls(side=int(generator.choice(sides)))

    @property
    def sigma(self) -> float:
        """Standard deviation in pixels."""
        return 0.3 * ((self.side - 1) / 2 - 1) + 0.8

    def __call__(self, image: Tensor) -> Tensor:
        """Return the blurred image, CHW."""
        half = self.side // 2
        weights = [math.exp(-(step**2) / (2 * self.sigma**2)) for step in range(-half, half + 1)]
        steps = [(step, weight / sum(weights)) for step, weight in zip(range(-half, half + 1), weights, strict=True)]
        image = _correlate(image, [(0, step, weight) for step, weight in steps])
        return _correlate(image, [(step, 0, weight) for step, weight in steps]).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class LinearContrast:
    """Draw grey values towards mid-grey, or away from it: ``1/2 + gain · (image - 1/2)``, cut to [0, 1]."""

    gain: float

    @classmethod
    def draw(cls, generator: np.random.Generator, *, gain: tuple[float, float] = (0.5, 1.0)) -> LinearContrast:
        """Draw a gain, uniform."""
        return cls(gain=generator.uniform(*gain))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the changed image, CHW."""
        return (image - 0.5).mul_(self.gain).add_(0.5).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class SoftBlur:
    """Blur with a Gaussian of standard deviation ``sigma`` px, cut off at three of them."""

    sigma: float

    @classmethod
    def draw(cls, generator: np.random.Generator, *, sigma: tuple[float, float] = (0.5, 1.5)) -> SoftBlur:
        """Draw a standard deviation, uniform."""
        return cls(sigma=generator.uniform(*sigma))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the blurred image, CHW."""
        blurred = gaussian_filter(image.numpy(), (0, self.sigma, self.sigma), mode="mirror", truncate=3)
        return torch.from_numpy(blurred).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class StrokeWeight:
    """Make dark strokes heavier, or lighter: a blend with the darkest, or the brightest, of 3 × 3 pixels.

    Parameters
    ----------
    amount
        -1…1: share of the blend; above 0 strokes are heavier.
    """

    amount: float

    @classmethod
    def draw(cls, generator: np.random.Generator, *, most: float = 0.5) -> StrokeWeight:
        """Draw an amount, uniform up to ``most`` to either side."""
        return cls(amount=float(generator.uniform(-most, most)))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the changed image, CHW."""
        sign = -1.0 if self.amount > 0 else 1.0
        extreme = sign * F.max_pool2d(sign * image[None], 3, stride=1, padding=1)[0]
        return image.lerp(extreme, abs(self.amount))


@dataclass(frozen=True, kw_only=True)
class Sharpen:
    """Blend an image with its edges: ``(1 - alpha) · image + alpha · (edges + lightness · image)``.

    Edges are eight times a pixel less its eight neighbours. Where an image is flat it grows darker, by up to
    ``alpha``: so the published list has it, from the library it was written for.
    """

    alpha: float
    lightness: float

    @classmethod
    def draw(
        cls,
        generator: np.random.Generator,
        *,
        alpha: tuple[float, float] = (0.0, 0.5),
        lightness: tuple[float, float] = (0.0, 0.5),
    ) -> Sharpen:
        """Draw both numbers, uniform."""
        return cls(alpha=generator.uniform(*alpha), lightness=generator.uniform(*lightness))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the sharpened image, CHW."""
        around = uniform_filter(image.numpy(), (0, 3, 3), mode="mirror")  # a ninth of a pixel and its neighbours
        edges = 9 * (image - torch.from_numpy(around))
        return (image * (1 - self.alpha + self.alpha * self.lightness)).add_(edges, alpha=self.alpha).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class MotionBlur:
    """Average along a straight line of pixels, ``dy`` and ``dx`` from its first to its last.

    The line is centred, so that the image stays where its label is; an off-centre one, as some libraries draw it,
    would move the ink by up to three pixels.
    """

    dy: int
    dx: int

    @classmethod
    def draw(cls, generator: np.random.Generator, *, sides: tuple[int, ...] = (3, 5, 7)) -> MotionBlur:
        """Draw two different points in a square of one of the odd ``sides``."""
        side = int(generator.choice(sides))
        first, last = generator.choice(side * side, size=2, replace=False)
        return cls(dy=int(last // side - first // side), dx=int(last % side - first % side))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the blurred image, CHW."""
        length = max(abs(self.dy), abs(self.dx))
        # Positions (step / length - 1/2) · (dy, dx), rounded half up in whole numbers: in floats some .5 come out
        # below and some above, and a pixel would be visited twice.
        ends = [2 * step - length for step in range(length + 1)]
        taps = [
            ((end * self.dy + length) // (2 * length), (end * self.dx + length) // (2 * length), 1 / (length + 1))
            for end in ends
        ]
        return _correlate(image, taps).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class Holes:
    """Blank boxes through all layers, and take their pixels out of what may be trusted.

    The published pipeline paints the label of a hole as background. What cannot be seen is not background, so
    here a hole is left out of the loss instead; the ink itself is not changed.

    Parameters
    ----------
    boxes
        (y0, y1, x0, x1) of each hole in px.
    """

    boxes: tuple[tuple[int, int, int, int], ...]

    @classmethod
    def draw(cls, generator: np.random.Generator, size: Size, *, count: int = 2, side: float = 0.2) -> Holes:
        """Draw places for ``count`` holes, each as high and wide as a share ``side`` of the image."""
        height, width = height_width(size)
        h, w = int(side * height), int(side * width)
        corners = [
            (int(generator.integers(0, height - h + 1)), int(generator.integers(0, width - w + 1)))
            for _ in range(count)
        ]
        return cls(boxes=tuple((y, y + h, x, x + w) for y, x in corners))

    def __call__(self, image: Tensor, trusted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image, CHW, and where it may be trusted, 1HW, with the holes in them."""
        image, trusted = image.clone(), trusted.clone()
        for y0, y1, x0, x1 in self.boxes:
            image[:, y0:y1, x0:x1] = 0
            trusted[:, y0:y1, x0:x1] = 0
        return image, trusted


def _correlate(image: Tensor, taps: list[Tap]) -> Tensor:
    """Sum shifted copies of every layer, the border reflected about its outermost pixels."""
    y_reach, x_reach = max(abs(y) for y, _, _ in taps), max(abs(x) for _, x, _ in taps)
    padded = F.pad(image[None], (x_reach, x_reach, y_reach, y_reach), mode="reflect")[0]
    _, height, width = image.shape
    total = torch.zeros_like(image)
    for y, x, weight in taps:
        top, left = y + y_reach, x + x_reach
        total.add_(padded[:, top : top + height, left : left + width], alpha=weight)
    return total
