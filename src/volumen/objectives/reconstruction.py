"""Reconstruction: squared error over hidden patches of papyrus, and over no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F

from volumen.errors import SettingsError
from volumen.objectives.terms import LossTerms

if TYPE_CHECKING:
    from torch import Tensor

Targets = Literal["patch", "layer", "pixels"]

_EPS = 1e-6  # published; keeps the norm of a flat patch defined
_PAPYRUS = 0.5  # share of a patch that must be papyrus for it to count


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

    Parameters
    ----------
    patch
        Side of a patch in px.
    targets
        ``patch``: μ and σ² are those of the patch over all layers together, as published. ``layer``: of each layer of
        the patch by itself, so that no layer is drowned by a brighter one. ``pixels``: the image as it is, μ = 0 and
        no division.

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
        painted = torch.where(chosen, self._cut(prediction.float()), 0.0)
        original = torch.where(chosen, self._cut(image.float()), 0.0)
        mean, std = self._statistics(original)
        error = (painted - (original - mean) / std).square().mean(dim=(1, 3, 5))  # (N, gh, gw)
        # Where nothing counts the sum is over errors of zero: of a prediction blanked against a target of zero.
        total = error.sum() / counts.sum().clamp_min(1)
        return LossTerms(total=total, terms={"patches": counts.sum() / len(image)})

    def target(self, image: Tensor) -> Tensor:
        """Return what the model is to paint, NCHW float32, from an image NCHW in [0, 1]."""
        cut = self._cut(image.float())
        mean, std = self._statistics(cut)
        return ((cut - mean) / std).reshape(image.shape)

    def restore(self, prediction: Tensor, image: Tensor) -> Tensor:
        """Return a prediction in the units of the image, NCHW float32: with each patch's own mean and deviation.

        For pictures, since the model never knew them: `target` undone.
        """
        mean, std = self._statistics(self._cut(image.float()))
        return (self._cut(prediction.float()) * std + mean).reshape(image.shape)

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
