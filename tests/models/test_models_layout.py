import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.errors import SettingsError
from volumen.models.layout import Layout


@st.composite
def masks(draw):
    shape = [draw(st.integers(1, 4)) for _ in range(3)]
    count = shape[0] * shape[1] * shape[2]
    flags = draw(st.lists(st.booleans(), min_size=count, max_size=count).filter(any))
    return torch.tensor(flags).view(shape)


@given(masks(), st.integers(1, 3))
@settings(max_examples=60)
def test_a_step_leads_to_what_lies_there(visible, reach):
    layout = Layout.of(visible)
    places = [tuple(place) for place in layout.places.T.tolist()]
    assert places == [tuple(place) for place in visible.nonzero().tolist()]
    assert layout.count == int(visible.sum())
    assert layout.grid == tuple(visible.shape[1:])

    steps = layout.steps(reach)
    around = [offset for offset in itertools.product(range(-reach, reach + 1), repeat=2) if offset != (0, 0)]
    assert [(step.dy, step.dx) for step in steps] == around
    for step in steps:
        pairs, outside = {}, []
        for patch, (image, y, x) in enumerate(places):
            there = (image, y + step.dy, x + step.dx)
            if there in places:
                pairs[patch] = places.index(there)
            if not (0 <= there[1] < layout.grid[0] and 0 <= there[2] < layout.grid[1]):
                outside.append(patch)
        assert dict(zip(step.to.tolist(), step.source.tolist(), strict=True)) == pairs
        assert len(set(pairs.values())) == len(pairs)
        assert step.outside.tolist() == outside


def test_all_indices_move():
    layout = Layout.of(torch.ones(1, 2, 2, dtype=torch.bool))
    moved = layout.to("meta")
    assert moved.places.is_meta
    assert all(index.is_meta for reach in (1, 2) for step in moved.steps(reach) for index in step[2:])
    assert not moved.visible.is_meta  # further steps are looked up on the CPU
    assert moved.count == layout.count
    assert layout.to("cpu") is layout


@pytest.mark.parametrize(
    ("visible", "message"),
    [
        (torch.ones(1, 2, 2), "float32"),
        (torch.ones(2, 2, dtype=torch.bool), r"shape \(2, 2\)"),
        (torch.zeros(2, 3, 3, dtype=torch.bool), "all are masked"),
    ],
)
def test_a_mask_that_is_none_is_refused(visible, message):
    with pytest.raises(SettingsError, match=message):
        Layout.of(visible)
