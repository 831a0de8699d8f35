"""width_buckets: every line in some batch, none twice in one, like beside like, and no two epochs alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumen.crops.width_buckets import by_width, width_buckets
from volumen.errors import SettingsError

WIDTHS = st.lists(st.integers(1, 3000), min_size=1, max_size=60)


@given(WIDTHS, st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_every_batch_is_full_and_every_line_is_seen(widths: list[int], batch: int, seed: int, epoch: int) -> None:
    rows = width_buckets(widths, batch, seed=seed, epoch=epoch)
    assert len(rows) == -(-len(widths) // batch)
    assert {len(row) for row in rows} == {min(batch, len(widths))}
    assert all(len({*row.tolist()}) == len(row) for row in rows), "no line twice in a batch"
    counts = np.bincount(np.concatenate(rows), minlength=len(widths))
    assert counts.min() == 1
    assert counts.max() <= 2


@given(WIDTHS, st.integers(1, 20))
def test_reading_takes_each_line_once_in_order_of_width(widths: list[int], batch: int) -> None:
    rows = by_width(widths, batch)
    order = np.concatenate(rows)
    assert sorted(order.tolist()) == list(range(len(widths)))
    assert (np.diff(np.array(widths)[order]) >= 0).all()
    assert {len(row) for row in rows[:-1]} <= {batch}


def test_like_lies_beside_like_and_batches_come_in_any_order() -> None:
    widths = np.random.default_rng(0).integers(20, 2000, 400)
    rows = width_buckets(widths, 16, seed=0, epoch=0)
    padded = 1 - widths.sum() / sum(16 * widths[row].max() for row in rows)
    assert padded < 0.2
    means = [float(widths[row].mean()) for row in rows]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.6
    inside = [np.corrcoef(widths[row], range(16))[0, 1] for row in rows]
    assert abs(np.mean(inside)) < 0.3, "shuffled inside a batch as well"


def test_seed_and_epoch_alone_decide() -> None:
    widths = [40] * 20 + [45] * 20 + [300] * 20

    def drawn(seed: int, epoch: int) -> list[list[int]]:
        return [row.tolist() for row in width_buckets(widths, 8, seed=seed, epoch=epoch)]

    assert drawn(1, 2) == drawn(1, 2)
    assert len({str(drawn(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    together = [frozenset(row) for epoch in range(20) for row in drawn(0, epoch)]
    assert len({*together}) > 0.9 * len(together), "a batch is hardly ever made again"
    assert any(row & {*range(20)} and row & {*range(20, 40)} for row in together), "near widths mix"


def test_where_lines_are_shared_changes() -> None:
    twice = set()
    for epoch in range(40):
        order = np.concatenate(width_buckets(range(10, 2000, 100), 8, seed=0, epoch=epoch))
        counts = np.bincount(order)
        assert (counts == 2).sum() == 4
        twice |= {*np.flatnonzero(counts == 2).tolist()}
    assert len(twice) > 5


@pytest.mark.parametrize(("widths", "batch"), [([], 4), ([0, 5], 4), ([5], 0)])
def test_nothing_to_part_is_refused(widths: list[int], batch: int) -> None:
    for part in (lambda: width_buckets(widths, batch, seed=0, epoch=0), lambda: by_width(widths, batch)):
        with pytest.raises(SettingsError, match="at least 1 px and a batch of one"):
            part()
