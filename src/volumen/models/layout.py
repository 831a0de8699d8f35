"""Layout: where visible patches lie in their images, and which of them are neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor


class Step(NamedTuple):
    """What lies ``dy`` patches down and ``dx`` patches right of the visible patches; indices count visible patches."""

    dy: int
    dx: int
    to: Tensor
    """Patches that have a visible neighbour there, int64 (P,)."""
    source: Tensor
    """That neighbour of each, int64 (P,); none occurs twice."""
    outside: Tensor
    """Patches for which that place lies outside the image, int64 (Q,)."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the visible patches of a batch lie, counted image by image, row by row. Make one with `Layout.of`.

    Everything whose length depends on the mask is worked out on the CPU, where masks are drawn, and moved by `to` in
    one transfer, so that no operation on the device has to wait for a count.

    Parameters
    ----------
    visible
        The mask, bool (N, gh, gw), True where a patch is visible; on the CPU.
    places
        Image, row and column of each visible patch, int64 (3, V); on the device of the patches.
    """

    visible: Tensor
    places: Tensor
    _steps: dict[int, tuple[Step, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, visible: Tensor) -> Layout:
        """Work out a layout from a mask.

        Parameters
        ----------
        visible
            Bool (N, gh, gw), True where a patch is visible; at least one is. Images may show different numbers.

        Raises
        ------
        SettingsError
            If the mask is of another kind, or nothing is visible.

        Examples
        --------
        >>> layout = Layout.of(torch.tensor([[[True, True, False], [False, True, False]]]))
        >>> layout.count
        3
        >>> layout.places.tolist()  # images, rows, columns
        [[0, 0, 0], [0, 0, 1], [0, 1, 1]]
        """
        if visible.dtype != torch.bool or visible.ndim != 3:
            raise SettingsError(
                f"A mask of visible patches is bool, images × rows × columns of patches; "
                f"got {visible.dtype}, shape {tuple(visible.shape)}."
            )
        visible = visible.cpu()
        places = torch.from_numpy(np.stack(np.nonzero(visible.numpy())))
        if not places.shape[1]:
            raise SettingsError("At least one patch of a batch must be visible, but all are masked. Mask fewer.")
        layout = cls(visible, places)
        layout.steps(1)
        return layout

    @property
    def count(self) -> int:
        """Number of visible patches in the batch, V."""
        return self.places.shape[1]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches in an image."""
        return self.visible.shape[1], self.visible.shape[2]

    def to(self, device: torch.device | str) -> Layout:
        """Return the same layout with its indices on a device."""
        if self.places.device == torch.device(device):
            return self
        moved = self.places.to(device, non_blocking=True)
        return Layout(self.visible, moved, {reach: _move(steps, device) for reach, steps in self._steps.items()})

    def steps(self, reach: int) -> tuple[Step, ...]:
        """Return what lies around the patches, up to ``reach`` patches away in rows and columns, row by row.

        A reach of 1 is at hand. A larger one, for windows that span more than a neighbouring patch, is worked out on
        first use, and moved to the device then.
        """
        if reach not in self._steps:
            self._steps[reach] = _move(_find_steps(self.visible.numpy(), reach), self.places.device)
        return self._steps[reach]


def _find_steps(visible: np.ndarray, reach: int) -> tuple[Step, ...]:
    """Look up every patch's neighbours in a table of visible patches with a margin: -1 is masked, -2 outside."""
    images, rows, columns = np.nonzero(visible)
    table = np.full(visible.shape, -1)
    table[images, rows, columns] = np.arange(len(images))
    table = np.pad(table, ((0, 0), (reach, reach), (reach, reach)), constant_values=-2)
    steps = []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if (dy, dx) != (0, 0):
                found = table[images, rows + reach + dy, columns + reach + dx]
                (to,), (outside,) = np.nonzero(found >= 0), np.nonzero(found == -2)
                steps.append(Step(dy, dx, *map(torch.from_numpy, (to, found[to], outside))))
    return tuple(steps)


def _move(steps: tuple[Step, ...], device: torch.device | str) -> tuple[Step, ...]:
    """Move all indices in one transfer."""
    parts = [part for step in steps for part in (step.to, step.source, step.outside)]
    moved = torch.split(torch.cat(parts).to(device, non_blocking=True), [len(part) for part in parts])
    return tuple(Step(step.dy, step.dx, *moved[3 * i : 3 * i + 3]) for i, step in enumerate(steps))
