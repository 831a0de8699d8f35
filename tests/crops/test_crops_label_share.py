"""A share of the labels: nested, in one place, and never what is held out."""

import itertools

import numpy as np
import pytest

from volumen.crops.label_share import keep_share
from volumen.crops.split import split_segment
from volumen.errors import LabelError, SettingsError
from volumen.sources.open import open_segment

SHAPE = (8, 256, 512)
SHARES = (0.02, 0.05, 0.1, 0.3, 0.7, 1.0)


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    """Make two segments: strokes of ink all over the first, and one stroke on the second."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    found = []
    for name, rows in (("first", slice(0, 256)), ("second", slice(32, 96))):
        ink = np.zeros(SHAPE[1:], np.uint8)
        ink[rows, 8::24] = ink[rows, 9::24] = ink[rows, 10::24] = 255
        np.save(folder / f"{name}.npy", rng.integers(40, 200, SHAPE, np.uint8))
        np.save(folder / f"{name}_inklabels.npy", ink)
        found.append(open_segment(folder / f"{name}.npy", ink=str(folder / f"{name}_inklabels.npy")))
    return found


def split(segments, sampling="ink", stride=16):
    return [
        split_segment(segment, layers=8, size=32, stride=stride, sampling=sampling, held_out_region=(0, 256, 384, 512))
        for segment in segments
    ]


def covered(splits):
    """Count, pixel by pixel, what the training windows cover."""
    total = 0
    for each in splits:
        seen = np.zeros(SHAPE[1:], bool)
        for window in each.train:
            seen[window.yx] = True
        total += int(seen.sum())
    return total


@pytest.mark.parametrize("seed", range(5))
def test_smaller_shares_are_parts_of_larger_ones(segments, seed):
    splits = split(segments)
    kept = [keep_share(segments, splits, share=share, seed=seed) for share in SHARES]
    for number in range(len(segments)):
        windows = [set(each[number].train) for each in kept]
        assert all(small <= large for small, large in itertools.pairwise(windows))
    counts = [sum(len(part.train) for part in each) for each in kept]
    assert counts[0] < counts[-1]
    assert kept[-1] == tuple(splits)


@pytest.mark.parametrize("stride", [13, 16, 32])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_is_of_pixels_however_much_windows_overlap(segments, share, stride):
    splits = split(segments, stride=stride)
    kept = keep_share(segments, splits, share=share, seed=3)
    one = 32 * 32 / covered(splits)
    assert abs(covered(kept) / covered(splits) - share) <= one


def test_what_is_kept_lies_in_one_place_around_ink(segments):
    splits = split(segments[:1])
    (kept,) = keep_share(segments[:1], splits, share=0.05, seed=1)
    centres = {window: ((window.y[0] + window.y[1]) / 2, (window.x[0] + window.x[1]) / 2) for window in splits[0].train}
    order = np.array([centres[window] for window in splits[0].train])
    inner = np.array([centres[window] for window in kept.train])
    # some window is such that no window left out is nearer to it than the farthest one kept
    gaps = []
    for middle in inner:
        reach = np.hypot(*(inner - middle).T).max()
        nearer = np.hypot(*(order - middle).T) < reach
        gaps.append(int(nearer.sum()) < len(inner))
    assert any(gaps)


def test_seeds_draw_different_places_and_the_same_seed_the_same(segments):
    splits = split(segments)
    kept = [keep_share(segments, splits, share=0.05, seed=seed) for seed in range(6)]
    assert len({each[0].train + each[1].train for each in kept}) > 1
    assert kept[0] == keep_share(segments, splits, share=0.05, seed=0)


def test_what_is_held_out_stays_and_the_counts_are_of_what_is_kept(segments):
    splits = split(segments)
    kept = keep_share(segments, splits, share=0.2, seed=0)
    for before, after, segment in zip(splits, kept, segments, strict=True):
        assert after.held_out == before.held_out
        assert after.by == before.by
        ink = [segment.raster("ink").read(window) > 0.5 for window in after.train]
        assert after.shares.ink == sum(int(part.sum()) for part in ink)
        assert after.shares.pixels == 32 * 32 * len(after.train)


def test_the_place_holds_ink_also_where_most_windows_do_not(segments):
    splits = split(segments[1:], sampling="mask")
    for seed in range(8):
        (kept,) = keep_share(segments[1:], splits, share=0.01, seed=seed)
        assert kept.shares.ink > 0


def test_the_next_segment_follows_where_one_is_not_enough(segments):
    splits = split(segments)
    kept = keep_share(segments, splits, share=0.95, seed=0)
    whole = [len(after.train) == len(before.train) for before, after in zip(splits, kept, strict=True)]
    assert any(whole)
    assert not all(whole)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_a_share_out_of_bounds_is_refused(segments, share):
    with pytest.raises(SettingsError, match="label share"):
        keep_share(segments, split(segments), share=share, seed=0)


def test_a_share_of_nothing_but_ink_is_refused(tmp_path):
    ink = np.zeros(SHAPE[1:], np.uint8)
    ink[:, :200] = 255
    np.save(tmp_path / "s.npy", np.full(SHAPE, 90, np.uint8))
    np.save(tmp_path / "s_inklabels.npy", ink)
    segment = open_segment(tmp_path / "s.npy", ink=str(tmp_path / "s_inklabels.npy"))
    with pytest.raises(LabelError, match="Expected background"):
        keep_share([segment], split([segment]), share=0.001, seed=0)
