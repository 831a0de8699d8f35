"""Reconstruction: squared error over hidden patches of papyrus, and over no others; of voxels, or of their texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F

from volumen.errors import SettingsError
from volumen.objectives.terms import LossTerms

if TYPE_CHECKING:
    from torch import Tensor

Targets = Literal["patch", "layer", "pixels", "gradient"]

_EPS = 1e-6  # published; keeps the norm of a flat patch defined
_PAPYRUS = 0.5  # share of a patch that must be papyrus for it to count
_CELL = 8  # px, side of what has one gradient magnitude; MaskFeat's cells
_STEEP = 0.1  # of the range of an image, a px: gradients of voxels are about that, so that targets are about 0
_FAINT = 0.01  # of these, so that a flat cell has a target


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Score what a model paints where it saw nothing.

    A patch counts where it is hidden and at least half of it is papyrus; in a patch that counts, every pixel of every
    layer does. With x the image, μ and σ² mean and unbiased variance::

        target = (x - μ) / √(σ² + 1e-6)
        total  = mean over patches that count of mean over their pixels of (prediction - target)²

    This is the loss of SparK (Tian et al., ICLR 2023, arXiv 2301.03580, §3.3), restricted to papyrus. Where no patch
    counts the total is exactly 0, and so is every gradient. What image and prediction hold in patches that do not
    count is never looked at.

    With ``gradient`` a model tells the texture that is hidden instead of painting it, as in masked feature prediction
    (MaskFeat: Wei et al., CVPR 2022, arXiv 2112.09133): for each layer and cell of 8 x 8 px, with ∇ the gradient within
    the patch::

        target = log(mean of |∇x| / 0.1 + 0.01)

    The exact course of a crackle cannot be foreseen, and ink that shows by it is a small part of how voxels vary; that
    there is a crackle can. Nothing is normalised, since how much texture there is tells ink from papyrus.

    Parameters
    ----------
    patch
        Side of a patch in px.
    targets
        ``patch``: μ and σ² are those of the patch over all layers together, as published. ``layer``: of each layer of
        the patch by itself, so that no layer is drowned by a brighter one. ``pixels``: the image as it is, μ = 0 and
        no division. ``gradient``: texture; a prediction is averaged over each cell.

    Raises
    ------
    SettingsError
        If there are no such targets, or a patch has no variance because it is a single pixel.

    Examples
    --------
    >>> loss = Reconstruction(patch=32)
    >>> image, papyrus = torch.rand(1, 20, 64, 96), torch.ones(1, 1, 64, 96)
    >>> visible = torch.tensor([[[True, False, True], [False, False, True]]])
    >>> float(loss(loss.target(image), image, visible, papyrus).total)
    0.0
    """

    patch: int = 32
    targets: Targets = "patch"

    def __post_init__(self) -> None:
        if self.targets not in get_args(Targets):
            raise SettingsError(f"Targets are {', '.join(get_args(Targets))}; got {self.targets!r}.")
        if self.patch < 2:
            raise SettingsError(f"A patch is at least 2 px wide; got {self.patch}.")
        if self.patch % self.cell:
            raise SettingsError(f"A patch is made of cells of {self.cell} px; got {self.patch}.")

    @property
    def of_voxels(self) -> bool:
        """Whether voxels are painted, each with a number of its own in the target, rather than their texture told."""
        return self.targets != "gradient"

    @property
    def cell(self) -> int:
        """Side of what has one number in a target, in px."""
        return 1 if self.of_voxels else _CELL

    def __call__(self, prediction: Tensor, image: Tensor, visible: Tensor, papyrus: Tensor) -> LossTerms:
        """Score a batch.

        Parameters
        ----------
        prediction
            NCHW, in the space of `target`, any float type; the arithmetic runs in float32.
        image
            NCHW in [0, 1].
        visible
            Bool (N, H / patch, W / patch), True where the model saw the patch; on any device.
        papyrus
            N1HW, 1 inside the papyrus, 0 outside.

        Returns
        -------
        LossTerms
            ``terms`` holds ``patches``, how many count in an image.

        Raises
        ------
        SettingsError
            If the shapes do not fit each other.
        """
        self._check(prediction, image, visible, papyrus)
        inside = F.avg_pool2d(papyrus.float(), self.patch)[:, 0] >= _PAPYRUS  # (N, gh, gw)
        counts = ~visible.to(image.device, non_blocking=True) & inside
        # Selecting before the arithmetic keeps NaN elsewhere out of sums and gradients alike.
        chosen = counts[:, None, :, None, :, None]
        painted = torch.where(chosen, self._averaged(self._cut(prediction.float())), 0.0)
        original = torch.where(chosen, self._cut(image.float()), 0.0)
        wrong = torch.where(chosen, painted - self._described(original), 0.0)
        error = wrong.square().mean(dim=(1, 3, 5))  # (N, gh, gw)
        total = error.sum() / counts.sum().clamp_min(1)
        return LossTerms(total=total, terms={"patches": counts.sum() / len(image)})

    def target(self, image: Tensor) -> Tensor:
        """Return what the model is to paint, NCHW float32, from an image NCHW in [0, 1]."""
        return self._whole(self._described(self._cut(image.float())), image)

    def restore(self, prediction: Tensor, image: Tensor) -> Tensor:
        """Return a prediction in the units of the image, NCHW float32: `target` undone, for pictures beside `shown`.

        Voxels get their patch's own mean and deviation, which the model never knew; texture becomes how steep it is.
        """
        cut = self._cut(prediction.float())
        if not self.of_voxels:
            return self._whole((self._averaged(cut).exp() - _FAINT) * _STEEP, image)
        mean, std = self._statistics(self._cut(image.float()))
        return (cut * std + mean).reshape(image.shape)

    def shown(self, image: Tensor) -> Tensor:
        """Return what a perfect prediction is restored to, NCHW float32: the image, or how steep each cell of it is."""
        return image.float() if self.of_voxels else self.restore(self.target(image), image)

    def _described(self, cut: Tensor) -> Tensor:
        """Return the target of what `_cut` returned, cut likewise, a number for each cell."""
        if not self.of_voxels:
            down, across = torch.gradient(cut, dim=(3, 5))  # within a patch: others may hold anything
            steep: Tensor = torch.hypot(down, across)
            return (self._averaged(steep) / _STEEP + _FAINT).log()
        mean, std = self._statistics(cut)
        return (cut - mean) / std

    def _averaged(self, cut: Tensor) -> Tensor:
        """Return the mean of each cell of what `_cut` returned, N C gh cells gw cells."""
        if self.cell == 1:
            return cut
        count, channels, rows, side, columns, _ = cut.shape
        number = side // self.cell  # N C gh p gw p -> N C gh number cell gw number cell
        return cut.reshape(count, channels, rows, number, self.cell, columns, number, self.cell).mean(dim=(4, 7))

    def _whole(self, cells: Tensor, image: Tensor) -> Tensor:
        """Return what has a number for each cell as NCHW of the image's size."""
        return cells.repeat_interleave(self.cell, 3).repeat_interleave(self.cell, 5).reshape(image.shape)

    def _cut(self, image: Tensor) -> Tensor:
        """Return (N, C, gh, patch, gw, patch), a view of an image NCHW."""
        height, width = image.shape[-2:]
        if image.ndim != 4 or height % self.patch or width % self.patch:
            raise SettingsError(
                f"Expected an image NCHW whose sides are multiples of the patch, {self.patch} px; "
                f"got shape {tuple(image.shape)}. Cut or pad it."
            )
        rows, columns = height // self.patch, width // self.patch
        return image.view(*image.shape[:2], rows, self.patch, columns, self.patch)  # N C H W -> N C gh p gw p

    def _statistics(self, cut: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return mean and deviation, to be broadcast over what `_cut` returned."""
        if self.targets == "pixels":
            return 0.0, 1.0
        across = (1, 3, 5) if self.targets == "patch" else (3, 5)
        variance, mean = torch.var_mean(cut, dim=across, keepdim=True)  # unbiased
        return mean, (variance + _EPS).sqrt()

    def _check(self, prediction: Tensor, image: Tensor, visible: Tensor, papyrus: Tensor) -> None:
        self._cut(image)
        count, _, height, width = image.shape
        grid = (count, height // self.patch, width // self.patch)
        fits = prediction.shape == image.shape and tuple(papyrus.shape) == (count, 1, height, width)
        if not fits or tuple(visible.shape) != grid or visible.dtype != torch.bool:
            raise SettingsError(
                f"With an image {tuple(image.shape)} the prediction has its shape, papyrus "
                f"{(count, 1, height, width)} and visible, bool, {grid}; got {tuple(prediction.shape)}, "
                f"{tuple(papyrus.shape)} and {visible.dtype} {tuple(visible.shape)}."
            )
