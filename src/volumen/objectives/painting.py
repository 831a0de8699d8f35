"""Painting: masked image modelling on lines; an encoder sees part of a line, a head paints the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from volumen.errors import SettingsError
from volumen.objectives.terms import LossTerms
from volumen.views.cells import draw_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    F = TypeVar("F")
    Encoder = Callable[[Tensor, Tensor, Tensor], F]
    Painter = Callable[[F], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Painted:
    """Lines as an encoder saw them, and as a head painted them; all N1HW, numbers in float32 or the images' float64.

    Parameters
    ----------
    shown
        What the encoder saw: hidden pixels have the mean of those seen in their line. 0 beyond the widths.
    hidden
        Bool, True where a pixel was hidden.
    painted
        What the head makes of the whole line, in the units of the image, seen and hidden; 0 beyond the widths.
    mean
        N111: the mean of the seen pixels of each line.
    """

    shown: Tensor
    hidden: Tensor
    painted: Tensor
    mean: Tensor

    @property
    def completed(self) -> Tensor:
        """The lines as shown, with what was hidden as painted, in [0, 1]: for pictures."""
        return torch.where(self.hidden, self.painted, self.shown).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Painting:
    """Learn by painting what is hidden of a line.

    Squares of a line are hidden; with x the image, m the mean of the pixels of its line that are seen, and g what the
    head says of the line in which hidden pixels are m::

        total      = mean over all hidden pixels of (m + g - x)²
        mean_error = mean over all hidden pixels of (m - x)²

    ``mean_error`` is what one has without having learned anything; below it, something is. No seen pixel has a say
    in the total, and no padding in anything.

    Masked image modelling: SimMIM (Xie et al., CVPR 2022, arXiv 2111.09886) with squared for absolute error, and like
    MAE (He et al., CVPR 2022, arXiv 2111.06377) scored where hidden only. Those hide patches from a Transformer; the
    encoder here is convolutional and is told what is hidden, so that it can leave that alone, as in SparK (Tian et
    al., ICLR 2023, arXiv 2301.03580).

    Parameters
    ----------
    cell
        Side of a hidden square in px.
    masked
        Share of the squares that are hidden, in (0, 1); SimMIM's best and SparK's is 0.6.

    Raises
    ------
    SettingsError
        If the share is not between 0 and 1, or a cell has no pixel.

    Examples
    --------
    >>> from volumen.models.line_painter import LinePainter
    >>> from volumen.models.recognizer.recognizer import Recognizer
    >>> model = Recognizer(1 / 16)
    >>> head = LinePainter(32, 32, model.resnet.map_channels)
    >>> terms = Painting()(model.visual, head, torch.full((2, 1, 32, 100), 0.5), torch.tensor([100, 60])).terms
    >>> float(terms["mean_error"])
    0.0
    """

    cell: int = 8
    masked: float = 0.6

    def __post_init__(self) -> None:
        if not 0 < self.masked < 1 or self.cell < 1:
            raise SettingsError(
                "Painting hides a share of the cells between 0 and 1, both excluded, in cells of 1 px or more; "
                f"got {self.masked} and {self.cell} px."
            )

    def __call__(self, encoder: Encoder[F], head: Painter[F], images: Tensor, widths: Tensor) -> LossTerms:
        """Hide cells, drawn from torch's random state, and score what is painted there.

        Parameters
        ----------
        encoder
            From images, widths and what is hidden, bool like the images, to frames.
        head
            From these to pixels (N, 1, H, W or more): `volumen.models.line_painter`. It says how much lighter a pixel
            is than the mean of what is seen.
        images
            (N, 1, H, W) in [0, 1].
        widths
            int64 (N,), valid pixels of each image.

        Returns
        -------
        LossTerms
            ``terms`` holds ``mean_error``, and ``hidden``, the share of the lines' pixels that was hidden.

        Raises
        ------
        SettingsError
            If the shapes do not fit each other, or a cell is not smaller than the line is high.
        """
        return score_painting(self.paint(encoder, head, images, widths), images, widths)

    def paint(self, encoder: Encoder[F], head: Painter[F], images: Tensor, widths: Tensor) -> Painted:
        """Hide cells, drawn from torch's random state, and paint; parameters as for a call."""
        _check(images, widths)
        widths = widths.to(images.device)
        hidden = draw_cells(widths, images.shape[2], images.shape[3], cell=self.cell, masked=self.masked)
        return paint_hidden(encoder, head, images, widths, hidden)


def paint_hidden(encoder: Encoder[F], head: Painter[F], images: Tensor, widths: Tensor, hidden: Tensor) -> Painted:
    """Hide pixels, bool N1HW, and let encoder and head paint; the rest as for `Painting`.

    Raises
    ------
    SettingsError
        If the shapes do not fit each other.
    """
    _check(images, widths)
    within = _within(images, widths)
    hidden = hidden & within
    seen = within & ~hidden
    # Selecting before the arithmetic keeps what is hidden, and NaN in the padding, out of all that follows.
    visible = torch.where(seen, _exact(images), 0.0)
    mean = visible.sum(dim=(1, 2, 3), keepdim=True) / seen.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1)
    shown = torch.where(hidden, mean, visible)
    said = head(encoder(shown.to(images.dtype), widths, hidden))
    if said.shape[:3] != images.shape[:3] or said.ndim != 4 or said.shape[3] < images.shape[3]:
        raise SettingsError(
            f"Lines {tuple(images.shape)} are painted by pixels of that shape, or wider; the head gave "
            f"{tuple(said.shape)}. Build it for the height of the lines."
        )
    painted = torch.where(within, mean + said[..., : images.shape[3]].to(mean.dtype), 0.0)
    return Painted(shown=shown, hidden=hidden, painted=painted, mean=mean)


def score_painting(painting: Painted, images: Tensor, widths: Tensor) -> LossTerms:
    """Score what was painted of images N1HW with widths (N,), as `Painting` does."""
    hidden, number = painting.hidden, painting.hidden.sum()

    def error(guess: Tensor) -> Tensor:
        return torch.where(hidden, guess - _exact(images), 0.0).square().sum() / number.clamp_min(1)

    with torch.no_grad():
        terms = {"mean_error": error(painting.mean), "hidden": number / _within(images, widths).sum().clamp_min(1)}
    return LossTerms(total=error(painting.painted), terms=terms)


def _exact(images: Tensor) -> Tensor:
    """Return images in float32, or in float64 if that is what they are."""
    return images if images.dtype == torch.float64 else images.float()


def _within(images: Tensor, widths: Tensor) -> Tensor:
    """Return bool N1HW, True for the pixels of lines."""
    columns = torch.arange(images.shape[3], device=images.device)
    return (columns < widths.to(images.device)[:, None, None, None]).expand_as(images)


def _check(images: Tensor, widths: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 1 or widths.shape != images.shape[:1]:
        raise SettingsError(
            "Expected images of lines (N, 1, H, W) with widths (N,); "
            f"got {tuple(images.shape)} and {tuple(widths.shape)}."
        )
