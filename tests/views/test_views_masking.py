from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from volumen.errors import SettingsError
from volumen.views.masking import draw_visible


def test_the_published_mask_shows_20_of_49_patches() -> None:
    visible = draw_visible(16, (7, 7))
    assert visible.shape == (16, 7, 7)
    assert visible.dtype == torch.bool
    assert visible.device.type == "cpu"
    assert visible.sum(dim=(1, 2)).tolist() == [20] * 16
    assert len({tuple(mask.flatten().tolist()) for mask in visible}) == 16, "each image has a mask of its own"


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    masked=st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_as_many_as_asked_but_always_one_of_each(rows: int, columns: int, masked: float) -> None:
    cells = rows * columns
    if cells < 2:
        with pytest.raises(SettingsError, match="1 × 1"):
            draw_visible(1, (rows, columns), masked=masked)
        return
    seen = draw_visible(3, (rows, columns), masked=masked).sum(dim=(1, 2)).tolist()
    assert seen == [min(max(round(cells * (1 - masked)), 1), cells - 1)] * 3


def test_every_choice_is_equally_likely() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = draw_visible(60_000, (2, 2), masked=0.5, generator=generator).flatten(1)
    counts = Counter(map(tuple, draws.tolist()))
    choices = [tuple(i in pair for i in range(4)) for pair in itertools.combinations(range(4), 2)]
    assert sorted(counts) == sorted(choices)
    # six choices of 10 000 each expected; five standard deviations of a binomial count are 456
    assert all(abs(count - 10_000) < 456 for count in counts.values())


def test_the_generator_alone_decides() -> None:
    def draw(seed: int) -> torch.Tensor:
        return draw_visible(4, (6, 3), generator=torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    first = draw(1)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert torch.equal(first, draw(1))
    assert not torch.equal(first, draw(2))
    torch.manual_seed(5)
    process = draw_visible(4, (6, 3))
    torch.manual_seed(5)
    assert torch.equal(process, draw_visible(4, (6, 3)))


@pytest.mark.parametrize("masked", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none(masked: float) -> None:
    with pytest.raises(SettingsError, match="between 0 and 1"):
        draw_visible(1, (7, 7), masked=masked)
