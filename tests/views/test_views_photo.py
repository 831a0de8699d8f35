"""PhotoView: drawn, then applied; only left and right change places, and masks stay masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from volumen.errors import SettingsError
from volumen.views.photo import PhotoView


def ramp(height: int = 24, width: int = 36) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([x, y, 1 - x])


def test_none_leaves_all_as_it_is() -> None:
    view = PhotoView(name="none")
    image, target = ramp(), (ramp()[:1] > 0.5).float()
    shown = view.apply(view.draw(np.random.default_rng(0), (3, 24, 36)), image, target, torch.ones(1, 24, 36))
    assert all(torch.equal(a, b) for a, b in zip(shown, (image, target, torch.ones(1, 24, 36)), strict=True))


def test_flips_alone_are_exact_and_only_sideways() -> None:
    view = PhotoView(area=(1.0, 1.0))
    image, generator = ramp(), np.random.default_rng(0)
    flips = 0
    for _ in range(60):
        shown, target = view.apply(view.draw(generator, (3, 24, 36)), image, (image[:1] > 0.3).float())
        mirrored = torch.equal(shown, image.flip(2))
        assert mirrored or torch.equal(shown, image)
        assert torch.equal(target, (shown[:1] > 0.3).float())
        flips += mirrored
    assert 18 <= flips <= 42


def test_boxes_hold_the_share_they_were_drawn_for() -> None:
    view = PhotoView(area=(0.5, 0.6))
    image, generator = ramp(240, 360), np.random.default_rng(0)
    for _ in range(30):
        shown, *_ = view.apply(view.draw(generator, (3, 240, 360)), image, torch.ones(1, 240, 360))
        across = float(shown[0].max() - shown[0].min()) * float(shown[1].max() - shown[1].min())
        assert 0.45 < across < 0.65
        assert (shown[1].diff(dim=0) >= -1e-5).all()  # never upside down


def test_what_is_no_view_is_refused() -> None:
    with pytest.raises(SettingsError, match="Views are none, flip_crop"):
        PhotoView(name="all")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="0 excluded"):
        PhotoView(area=(0.0, 1.0))
