"""Masks: which patches of an image are shown to the encoder and which it has to reconstruct."""

from __future__ import annotations

import torch

from volumen.errors import SettingsError


def draw_visible(
    count: int, grid: tuple[int, int], *, masked: float = 0.6, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw the patches that stay visible, for each image by itself.

    Every image of the batch shows the same number of patches, ``round(gh · gw · (1 - masked))``, but at least one,
    and hides at least one; every choice of so many is equally likely (He et al., "Masked Autoencoders", 2022;
    SparK, arXiv 2301.03580, §3.1).

    Parameters
    ----------
    count
        Number of images, N.
    grid
        Rows and columns of patches, (gh, gw).
    masked
        Share of the patches to hide, in (0, 1); published 0.6.
    generator
        Where the draw comes from, on the CPU; None for the process's own.

    Returns
    -------
    torch.Tensor
        Bool (N, gh, gw) on the CPU, True where a patch is visible.

    Raises
    ------
    SettingsError
        If the share is not between 0 and 1, or an image is a single patch.

    Examples
    --------
    >>> visible = draw_visible(8, (7, 7), generator=torch.Generator().manual_seed(0))
    >>> visible.sum(dim=(1, 2)).tolist()
    [20, 20, 20, 20, 20, 20, 20, 20]
    """
    rows, columns = grid
    cells = rows * columns
    if not 0 < masked < 1:
        raise SettingsError(f"The share of masked patches must lie between 0 and 1, both excluded; got {masked}.")
    if cells < 2:
        raise SettingsError(
            f"Masking needs at least two patches, one to see and one to hide; got a grid of {rows} × {columns}. "
            "Use larger crops."
        )
    keep = min(max(round(cells * (1 - masked)), 1), cells - 1)
    visible = lowest(torch.rand(count, cells, generator=generator), keep)
    return visible.view(count, rows, columns)  # N gh·gw -> N gh gw


def lowest(numbers: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
    """Return bool (N, K), True for the lowest numbers of each row: as many as ``count``, (N, 1) or one for all."""
    return numbers.argsort(dim=1).argsort(dim=1) < count
