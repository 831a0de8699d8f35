"""Probe: how well a linear model tells ink from background on an encoder's frozen features, in seconds."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from volumen.errors import DivergedError
from volumen.evaluation.counts import LevelCounts
from volumen.evaluation.masks import rank_scores
from volumen.recipes.spots import Spots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor, nn

    from volumen.crops.normalize import Normalization
    from volumen.crops.split import Split
    from volumen.sources.segment import Segment

PENALTIES = tuple(10.0**power for power in range(-6, 2))
"""Ridge penalties to choose from, on features whose scales have a total variance of 1 each."""

_CHOOSING = 0.25  # of the training pixels, the last ones drawn, so mostly from places of their own


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Score frozen encoders on the same labelled pixels; what it costs is one forward pass and a few small solves.

    Features of all scales are bilinearly read at each pixel, standardised on the training pixels, and each scale
    weighs the same, however many channels it has. On them ridge regression onto ink is fitted in closed form; its
    penalty is chosen on a quarter of the training pixels. As many pixels are ink as background, so that guessing
    gives an AUC and an average precision of one half.

    Parameters
    ----------
    train, held_out
        Pixels to fit on and to score on.

    Examples
    --------
    >>> probe = Probe.of([(segment, split)], normalization=normalization)  # doctest: +SKIP
    >>> learned, random = probe(spark.encoder), probe(build_unet("resnet50", 20).encoder)  # doctest: +SKIP
    >>> bare = probe.voxels()  # doctest: +SKIP
    """

    train: Spots
    held_out: Spots

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[Segment, Split]],
        *,
        normalization: Normalization,
        pixels: int = 2048,
        tiles: int = 24,
        seed: int = 0,
    ) -> Probe:
        """Draw the pixels; segments without an ink label are passed over.

        Parameters
        ----------
        parts
            Segments and what of them to fit on and to score on; windows span the layers that the encoder sees.
        normalization
            How voxels come to [0, 1], as the encoder learned it.
        pixels
            How many to draw at most, to fit on and again to score on.
        tiles
            How many places to draw them from at most.
        seed
            Seed of the draws.

        Raises
        ------
        LabelError
            There is no supervised ink, or no supervised background, to fit on or to score on.
        """
        labelled = [(segment, split) for segment, split in parts if segment.ink is not None]
        sides = (
            [(segment, split, window) for segment, split in labelled for window in split.train],
            [(segment, split, box) for segment, split in labelled for box in split.held_out],
        )
        train, held_out = (
            Spots.draw(
                side,
                normalization=normalization,
                pixels=pixels,
                tiles=tiles,
                held_out=number == 1,
                generator=np.random.default_rng([seed, number]),
            )
            for number, side in enumerate(sides)
        )
        return cls(train=train, held_out=held_out)

    def __call__(self, encoder: nn.Module) -> dict[str, float]:
        """Return ``auc`` and ``average_precision`` on the held-out pixels, and how many ``pixels`` those are.

        Parameters
        ----------
        encoder
            From NCHW to a list of NCHW maps. It is run in evaluation mode, without gradients, and left as it was:
            training modes, norm statistics, weights.

        Raises
        ------
        DivergedError
            A feature is NaN or infinite.
        """
        device = next((weight.device for weight in encoder.parameters()), torch.device("cpu"))

        def maps(image: Tensor) -> list[Tensor]:
            features = encoder(image.to(device))
            # smp's encoders return the image itself first, and nothing at stride 2 where they have nothing there
            return [each for each in features if each.shape[2] < image.shape[2] and each.shape[1]]

        with _evaluating(encoder), torch.inference_mode():
            return self._score(maps)

    def voxels(self) -> dict[str, float]:
        """Return the same scores of the bare voxels: the layers at each pixel, no encoder."""
        return self._score(lambda image: [image])

    def _score(self, maps: Callable[[Tensor], list[Tensor]]) -> dict[str, float]:
        known, asked = self.train.read(maps), self.held_out.read(maps)
        if not all(bool(torch.isfinite(scale).all()) for scale in (*known, *asked)):
            raise DivergedError("Expected finite features; the encoder gave NaN or infinity.")
        weights = _fit(_standardised(known, known), self.train.ink)
        return _scores(_standardised(asked, known) @ weights, self.held_out.ink)


def _fit(features: Tensor, ink: Tensor) -> Tensor:
    """Return the weights (channels,) of a ridge regression with the penalty that ranks left-out pixels best."""
    target = torch.where(ink, 1.0, -1.0).to(features)
    fitting = torch.ones(len(ink), dtype=torch.bool)
    for kind in (ink, ~ink):
        places = kind.nonzero()[:, 0]
        fitting[places[len(places) - int(_CHOOSING * len(places)) :]] = False
    best = PENALTIES[-1]
    if not fitting.all():
        tried = solve_ridge(features[fitting], target[fitting], PENALTIES)
        aucs = [_scores(features[~fitting] @ weights, ink[~fitting])["auc"] for weights in tried]
        best = max(zip(aucs, PENALTIES, strict=True))[1]
    return solve_ridge(features, target, (best,))[0]


def solve_ridge(features: Tensor, target: Tensor, penalties: Sequence[float]) -> list[Tensor]:
    """Return, for each penalty p, the weights w that minimise mean((features w - target)²) + p |w|².

    Solved over channels or over rows, whichever are fewer (the two forms are equal; Hoerl and Kennard 1970).

    Parameters
    ----------
    features
        float64 (rows, channels).
    target
        float64 (rows,).
    penalties
        Each above 0.
    """
    rows, channels = features.shape
    by_rows = rows < channels
    gram = features @ features.T if by_rows else features.T @ features
    right = target if by_rows else features.T @ target
    ones = torch.eye(len(gram), dtype=gram.dtype)
    solved = [
        torch.cholesky_solve(right[:, None], torch.linalg.cholesky(gram + rows * penalty * ones))[:, 0]
        for penalty in penalties
    ]
    return [features.T @ weights if by_rows else weights for weights in solved]


def _standardised(scales: list[Tensor], known: list[Tensor]) -> Tensor:
    """Give each channel mean 0 and each scale a total variance of 1 over the known rows; (rows, channels)."""
    parts = []
    for scale, reference in zip(scales, known, strict=True):
        mean, deviation = reference.mean(dim=0), reference.std(dim=0, correction=0)
        moves = deviation > 1e-6 * (mean.abs() + 1e-6)  # a channel that stands still has only rounding errors
        parts.append(((scale - mean) / deviation)[:, moves] / max(int(moves.sum()), 1) ** 0.5)
    return torch.cat(parts, dim=1)


def _scores(values: Tensor, ink: Tensor) -> dict[str, float]:
    probability = torch.sigmoid(values).numpy()
    counts = LevelCounts.of(probability, ink.numpy(), np.ones(probability.shape, np.bool_))
    return {**{name: float(score) for name, score in rank_scores(counts).items()}, "pixels": float(len(ink))}


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put every part of a module into evaluation mode, and back into the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode
