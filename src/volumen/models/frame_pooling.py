"""Pooling of frames: means over windows of a line's valid frames, left to right, with padding nowhere in them."""

from __future__ import annotations

import torch
from torch import Tensor

from volumen.errors import SettingsError


def valid_frames(lengths: Tensor, count: int) -> Tensor:
    """Return bool (N, count), True for the frames, or columns of a map, that see the image; lengths int64 (N,)."""
    return torch.arange(count, device=lengths.device) < lengths[:, None]


def check_frames(values: Tensor, lengths: Tensor) -> None:
    """Refuse values that are not BTF, or lengths that are not one a line.

    Raises
    ------
    SettingsError
        With both shapes.
    """
    if values.ndim != 3 or tuple(lengths.shape) != (len(values),):
        raise SettingsError(
            "Frames are values (N, T, F) with lengths (N,); "
            f"got values {tuple(values.shape)} and lengths {tuple(lengths.shape)}."
        )


def blank_padding(values: Tensor, lengths: Tensor) -> Tensor:
    """Return values (N, T, F) with exactly 0 beyond the lengths, whatever they hold there."""
    check_frames(values, lengths)
    return torch.where(valid_frames(lengths, values.shape[1])[:, :, None], values, 0.0)


def window_means(values: Tensor, lengths: Tensor, windows: int, *, split_frames: bool = True) -> Tensor:
    """Average the valid frames of each line over windows that share its length out, left to right.

    Window w of n over L frames holds those from ``floor(w · L / n)`` up to, without, ``ceil((w + 1) · L / n)``: what
    ``torch.nn.AdaptiveAvgPool1d(n)`` takes from a line by itself. Neighbours may share a frame.

    Parameters
    ----------
    values
        (N, T, F), any float type; the sums run in float32 at least, also under autocast. What stands beyond
        ``lengths`` is never looked at, be it NaN.
    lengths
        int64 (N,), valid frames of each line.
    windows
        n, at least 1.
    split_frames
        What to do where a line has fewer frames than windows. True: windows repeat frames, as torch's do. False:
        the line has a window a frame, and the rest is zero.

    Returns
    -------
    Tensor
        (N, windows, F), float32 or float64; zero for a line without frames.

    Raises
    ------
    SettingsError
        If there are no windows, or the shapes do not fit each other.

    Examples
    --------
    >>> values = torch.tensor([[[1.0], [2.0], [3.0], [9.0]]])
    >>> window_means(values, torch.tensor([3]), 2).flatten().tolist()
    [1.5, 2.5]
    """
    check_frames(values, lengths)
    if windows < 1:
        raise SettingsError(f"Frames are pooled into at least one window; got {windows}.")
    exact = values.dtype if values.dtype == torch.float64 else torch.float32
    valid = valid_frames(lengths, values.shape[1])
    # Selecting before the arithmetic keeps NaN in the padding out of sums and gradients alike.
    seen = torch.where(valid[:, :, None], values.to(exact), 0.0)
    length = lengths[:, None]
    number = torch.full_like(length, windows) if split_frames else length.clamp(1, windows)
    window = torch.arange(windows, device=values.device)
    first = window * length // number
    last = -(-(window + 1) * length // number)  # rounded up
    frame = torch.arange(values.shape[1], device=values.device)
    inside = (frame >= first[:, :, None]) & (frame < last[:, :, None]) & (window < number)[:, :, None]
    share = inside.to(exact) / inside.sum(dim=2, keepdim=True).clamp_min(1)
    with torch.autocast(values.device.type, enabled=False):
        return share @ seen  # (N, n, T) @ (N, T, F)
