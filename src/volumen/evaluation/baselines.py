"""Baselines of masked reconstruction: masked patches filled without learning, which a pretrained model has to beat.

All take images NCHW and which patches are visible, (N, grid rows, grid columns), and return the images with their
masked patches filled; visible patches stay as they are. They work in any space. To compare with a model that predicts
patches normalised by their own mean and deviation, give them images in that space (`Reconstruction.target`): no
statistic of a masked patch then leaks into the guess, and none is asked of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean_level(images: NDArray[Any], visible: NDArray[np.bool_], patch: int) -> NDArray[np.float32]:
    """Fill every masked pixel with the mean of its channel over the visible patches of the same image.

    Parameters
    ----------
    images
        NCHW; height and width are ``patch`` times the grid of ``visible``.
    visible
        Which patches are shown, bool (N, grid rows, grid columns); at least one of each image.
    patch
        Side of a patch in px.

    Returns
    -------
    ndarray
        float32 NCHW.

    Raises
    ------
    SettingsError
        The shapes do not fit, or an image has no visible patch.

    Examples
    --------
    >>> import numpy as np
    >>> mean_level(np.array([[[[1.0, 3.0, 9.0]]]]), np.array([[[True, True, False]]]), 1).tolist()
    [[[[1.0, 3.0, 2.0]]]]
    """
    filled, cells = _filled(images, visible, patch)
    for image, shown in zip(cells, visible, strict=True):
        image[~shown] = image[shown].mean(axis=(0, 2, 3), dtype=np.float64)[:, None, None]
    return filled


def mean_patch(images: NDArray[Any], visible: NDArray[np.bool_], patch: int) -> NDArray[np.float32]:
    """Fill every masked patch with the mean of the visible patches of the same image, position by position.

    Takes, returns and raises what `mean_level` does.

    Examples
    --------
    >>> import numpy as np
    >>> shown = np.array([[[True, True, False]]])
    >>> mean_patch(np.array([[[[1.0, 2.0, 3.0, 4.0, 9.0, 9.0]] * 2]]), shown, 2)[0, 0, 0].tolist()
    [1.0, 2.0, 3.0, 4.0, 2.0, 3.0]
    """
    filled, cells = _filled(images, visible, patch)
    for image, shown in zip(cells, visible, strict=True):
        image[~shown] = image[shown].mean(axis=0, dtype=np.float64)
    return filled


def nearest_patch(images: NDArray[Any], visible: NDArray[np.bool_], patch: int) -> NDArray[np.float32]:
    """Fill every masked patch with the nearest visible one: Euclidean in the grid, of equals the first row by row.

    Takes, returns and raises what `mean_level` does.

    Examples
    --------
    >>> import numpy as np
    >>> nearest_patch(np.array([[[[1.0, 9.0, 9.0, 4.0]]]]), np.array([[[True, False, False, True]]]), 1).tolist()
    [[[[1.0, 1.0, 4.0, 4.0]]]]
    """
    filled, cells = _filled(images, visible, patch)
    for image, shown in zip(cells, visible, strict=True):
        masked, near = np.argwhere(~shown), np.argwhere(shown)
        distance = ((masked[:, None] - near[None]) ** 2).sum(axis=-1)  # masked x visible
        row, column = near[distance.argmin(axis=1)].T
        image[~shown] = image[row, column]
    return filled


def inpaint(
    images: NDArray[Any],
    visible: NDArray[np.bool_],
    patch: int,
    *,
    fade: float | None = None,
    tolerance: float = 1e-3,
) -> NDArray[np.float32]:
    """Fill the masked patches smoothly: strokes and fibres run on over a patch's edge and fade to the mean.

    Filled pixels minimise the sum of squared differences between neighbours, plus 1 / fade² times the squared distance
    from the mean of the channel's visible pixels (the screened Poisson equation); visible pixels stay as given, and
    the image's edge is free. Solved by conjugate gradients. It is a harder baseline than any copied patch, since it
    guesses only as far as neighbouring pixels resemble each other. Takes, returns and raises what `mean_level` does.

    Parameters
    ----------
    images, visible, patch
        As `mean_level` takes them.
    fade
        Length in px over which a filled pixel forgets its visible neighbours; a tenth of ``patch`` if not given,
        about the best on X-ray volumes. ``math.inf`` never forgets: the harmonic interpolation.
    tolerance
        Where to stop: norm of the residual, relative to that of the first guess. As it is, filled pixels are off by
        less than a hundredth of the image's deviation (twice that where ``fade`` is infinite).

    Examples
    --------
    >>> import numpy as np
    >>> row = np.array([[[[0.0, 9.0, 9.0, 3.0]]]])
    >>> inpaint(row, np.array([[[True, False, False, True]]]), 1, fade=np.inf).round(3).tolist()
    [[[[0.0, 1.0, 2.0, 3.0]]]]
    """
    filled, _ = _filled(images, visible, patch)
    pull = 1 / (patch / 10 if fade is None else fade) ** 2
    for image, shown in zip(filled, visible, strict=True):
        masked = ~shown.repeat(patch, axis=0).repeat(patch, axis=1)
        mean = image[:, ~masked].mean(axis=1, dtype=np.float64).astype(np.float32)[:, None, None]
        smooth = _relax(np.where(masked, np.float32(0), image - mean), masked, pull=pull, tolerance=tolerance)
        image[:, masked] = (smooth + mean)[:, masked]
    return filled


def _filled(
    images: NDArray[Any], visible: NDArray[np.bool_], patch: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a copy to fill, NCHW, and a view of it patch by patch: N, grid rows, grid columns, C, patch, patch."""
    expected = (images.shape[0], images.shape[2] // patch, images.shape[3] // patch) if images.ndim == 4 else None
    if expected is None or visible.shape != expected or images.shape[2] % patch or images.shape[3] % patch:
        raise SettingsError(
            f"Expected images NCHW whose sides are multiples of {patch} px, and visible patches N × rows × columns "
            f"to match; got {images.shape} and {visible.shape}."
        )
    if not visible.any(axis=(1, 2)).all():
        raise SettingsError("Expected at least one visible patch in every image; got one without. Mask fewer.")
    filled = np.array(images, dtype=np.float32, order="C")
    count, channels = images.shape[:2]
    rows, columns = visible.shape[1:]
    # N C (rows p) (columns p) -> N rows columns C p p, a view
    cells = filled.reshape(count, channels, rows, patch, columns, patch).transpose(0, 2, 4, 1, 3, 5)
    return filled, cells


def _relax(
    image: NDArray[np.float32], masked: NDArray[np.bool_], *, pull: float, tolerance: float
) -> NDArray[np.float32]:
    """Solve ``laplacian + pull · identity = 0`` where masked (HW), beginning at what the image (CHW) holds there."""
    residual = -(_laplacian(image) + pull * image) * masked
    direction = residual.copy()
    power = (residual**2).sum(axis=(1, 2), keepdims=True)
    enough = power * tolerance**2
    for _ in range(masked.size):  # so many steps solve it exactly; some tens are the rule
        if (power <= enough).all():
            break
        change = (_laplacian(direction) + pull * direction) * masked
        curvature = (direction * change).sum(axis=(1, 2), keepdims=True)
        length = np.divide(power, curvature, out=np.zeros_like(power), where=curvature > 0)
        image = image + length * direction
        residual = residual - length * change
        before, power = power, (residual**2).sum(axis=(1, 2), keepdims=True)
        direction = residual + np.divide(power, before, out=np.zeros_like(power), where=before > 0) * direction
    return image


def _laplacian(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each pixel's difference to its neighbours, summed over the two to four that it has, CHW."""
    result = np.zeros_like(image)
    down, across = np.diff(image, axis=1), np.diff(image, axis=2)
    result[:, :-1] -= down
    result[:, 1:] += down
    result[:, :, :-1] -= across
    result[:, :, 1:] += across
    return result
