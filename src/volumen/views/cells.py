"""Cells: squares of a line that are hidden from the encoder, which has to paint them; never padding."""

from __future__ import annotations

import torch

from volumen.errors import SettingsError
from volumen.views.masking import lowest


def draw_cells(widths: torch.Tensor, height: int, width: int, *, cell: int = 8, masked: float = 0.6) -> torch.Tensor:
    """Draw the cells to hide, for each line by itself, from torch's random state.

    A line is cut into squares from its top left corner on, the last of a row or column into less where they do not
    fit. Of its k cells it shows ``round(k · (1 - masked))``, but at least one, and hides at least one; every choice
    of so many is equally likely, as `volumen.views.masking.draw_visible` has it.

    Parameters
    ----------
    widths
        int64 (N,), px of each line, on the device that the mask is drawn on.
    height, width
        Of the images, in px.
    cell
        Side of a cell in px, less than the height, so that the narrowest line has two.
    masked
        Share of a line's cells to hide, in (0, 1).

    Returns
    -------
    torch.Tensor
        Bool (N, 1, height, width), True where a pixel is hidden; False beyond the widths.

    Raises
    ------
    SettingsError
        If the share is not between 0 and 1, or a cell is not between 1 px and the height.

    Examples
    --------
    >>> hidden = draw_cells(torch.tensor([64, 32]), 32, 64, cell=8, masked=0.5)
    >>> hidden.sum(dim=(1, 2, 3)).tolist(), bool(hidden[1, ..., 32:].any())
    ([1024, 512], False)
    """
    if not 0 < masked < 1:
        raise SettingsError(f"The share of masked cells must lie between 0 and 1, both excluded; got {masked}.")
    if not 1 <= cell < height:
        raise SettingsError(
            f"A masked cell is at least 1 px and less than the line's height, {height} px, so that something stays to "
            f"be seen; got {cell} px."
        )
    rows, columns = -(-height // cell), -(-width // cell)
    across = -(-widths // cell)[:, None]  # (N, 1), a line's own columns of cells
    cells = rows * across
    shown = (cells * (1 - masked)).round().clamp_min(1).minimum(cells - 1)
    beyond = (torch.arange(columns, device=widths.device) >= across)[:, None, :]  # (N, 1, columns)
    numbers = torch.rand(len(widths), rows, columns, device=widths.device).masked_fill_(beyond, 2)
    hidden = ~lowest(numbers.flatten(1), shown).view(-1, rows, columns)
    hidden = hidden.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, None, :height, :width]
    within = torch.arange(width, device=widths.device) < widths[:, None, None, None]
    return hidden & within
