from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from volumen.errors import SettingsError
from volumen.views.cells import draw_cells
from volumen.views.masking import draw_visible


@given(
    widths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    height=st.integers(2, 40),
    cell=st.integers(1, 12),
    masked=st.floats(0.01, 0.99),
    padding=st.integers(0, 9),
)
def test_whole_cells_of_each_line_are_hidden_as_many_as_asked_and_never_all_or_none(
    widths, height, cell, masked, padding
):
    cell = min(cell, height - 1)
    hidden = draw_cells(torch.tensor(widths), height, max(widths) + padding, cell=cell, masked=masked)
    assert hidden.shape == (len(widths), 1, height, max(widths) + padding)
    assert hidden.dtype == torch.bool
    for line, width in zip(hidden[:, 0], widths, strict=True):
        assert not line[:, width:].any()
        squares = [
            line[y : y + cell, x : min(x + cell, width)] for y in range(0, height, cell) for x in range(0, width, cell)
        ]
        assert all(bool(square.all()) or not bool(square.any()) for square in squares)
        shown = sum(not bool(square.any()) for square in squares)
        asked = min(max(len(squares) * (1 - masked), 1), len(squares) - 1)
        assert abs(shown - asked) <= 0.5 + 1e-4  # which way a half is rounded, the number format decides


def test_every_cell_of_a_line_is_hidden_as_often_whatever_else_is_in_the_batch():
    torch.manual_seed(0)
    hidden = draw_cells(torch.tensor([24, 16]).repeat(20_000), 16, 24, cell=8, masked=0.5)[:, 0, ::8, ::8]
    pairs = Counter(tuple(line[:, :2].flatten().tolist()) for line in hidden[1::2])
    assert len(pairs) == 6
    # six choices of 3,333 each expected; five standard deviations of a binomial count are 264
    assert all(abs(count - 20_000 / 6) < 264 for count in pairs.values())
    assert (hidden[::2].float().mean(dim=0) - 0.5).abs().max() < 0.02


def test_torchs_random_state_alone_decides():
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return draw_cells(torch.tensor([96, 40, 90]), 32, 96)

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


def test_lines_of_one_width_hide_as_many_cells_as_images_hide_patches():
    hidden = draw_cells(torch.tensor([56, 56]), 56, 56, cell=8, masked=0.6)
    assert int(hidden.sum()) == 64 * int((~draw_visible(2, (7, 7), masked=0.6)).sum())


@pytest.mark.parametrize("masked", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none(masked: float):
    with pytest.raises(SettingsError, match="between 0 and 1"):
        draw_cells(torch.tensor([40]), 32, 40, masked=masked)


@pytest.mark.parametrize("cell", [0, 32, 64])
def test_a_cell_that_leaves_nothing_to_hide_or_to_see(cell: int):
    with pytest.raises(SettingsError, match=f"32 px.*got {cell} px"):
        draw_cells(torch.tensor([4]), 32, 40, cell=cell)
