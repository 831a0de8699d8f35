"""Bootstrap intervals: reproducible, independent of how blocks stream by, and about as wide as they say."""

from __future__ import annotations

import numpy as np
import pytest

from volumen.evaluation.counts import LevelCounts
from volumen.evaluation.intervals import BlockBootstrap, percentile_interval
from volumen.evaluation.masks import rank_scores
from volumen.evaluation.tally import Tally

SIDE, BLOCK = 256, 16


def noisy_map(seed: int, *, gap: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """An ink map whose noise is shared within 16 px blocks, and its label: pixels are far from independent."""
    random = np.random.default_rng(seed)
    blocks = SIDE // BLOCK
    ink = (random.random((blocks, blocks)) < 0.4).repeat(BLOCK, 0).repeat(BLOCK, 1)
    shared = random.normal(size=(blocks, blocks)).repeat(BLOCK, 0).repeat(BLOCK, 1)
    logit = gap * ink + shared + 0.3 * random.normal(size=ink.shape)
    return np.rint(255 / (1 + np.exp(-logit))).astype(np.uint8), ink.astype(np.float32)


def auc_interval(level: np.ndarray, ink: np.ndarray, *, block: int, seed: int) -> tuple[float, float]:
    bootstrap = BlockBootstrap(draws=200, seed=seed)
    bootstrap.add(LevelCounts.per_block(level, ink, np.ones(ink.shape, bool), block=block))
    return percentile_interval(rank_scores(bootstrap.counts)["auc"])


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    maps = [noisy_map(seed) for seed in range(80)]
    everywhere = np.ones((SIDE, SIDE), bool)
    pooled = [LevelCounts.of(level, ink, everywhere) for level, ink in maps]
    truth = float(rank_scores(sum(pooled[1:], pooled[0]))["auc"])

    def coverage(block: int, count: int) -> float:
        intervals = [auc_interval(*pair, block=block, seed=seed) for seed, pair in enumerate(maps[:count])]
        return float(np.mean([low <= truth <= high for low, high in intervals]))

    assert 0.85 <= coverage(BLOCK, 80) <= 1.0
    assert coverage(4, 30) < 0.6  # blocks smaller than the noise take neighbours for independent: far too narrow


def test_the_same_seed_gives_the_same_interval_however_the_blocks_come() -> None:
    level, ink = noisy_map(0)
    blocks = LevelCounts.per_block(level, ink, np.ones(ink.shape, bool), block=BLOCK)

    def gather(cuts: list[int], seed: int) -> np.ndarray:
        bootstrap = BlockBootstrap(draws=20, seed=seed)
        for start, stop in zip([0, *cuts], [*cuts, len(blocks.ink)], strict=True):
            bootstrap.add(
                LevelCounts(
                    ink=blocks.ink[start:stop], background=blocks.background[start:stop], soft=blocks.soft[start:stop]
                )
            )
        return bootstrap.counts.ink

    np.testing.assert_array_equal(gather([], 1), gather([3, 4, 100], 1))
    assert (gather([], 1) != gather([], 2)).any()


@pytest.mark.parametrize("rows", [16, 48, 256])
def test_a_tally_does_not_depend_on_the_height_of_its_bands(rows: int) -> None:
    level, ink = noisy_map(5)
    counted = np.random.default_rng(0).random(ink.shape) < 0.5
    counted[:, 100:140] = False

    def tally(height: int) -> dict[str, float]:
        total = Tally(block=BLOCK, draws=30, seed=7)
        for top in range(0, SIDE, height):
            band = slice(top, top + height)
            total.add(level[band], ink[band], counted[band])
        return total.scores()

    assert tally(rows) == pytest.approx(tally(32), nan_ok=True)


def test_a_score_lies_in_its_interval_and_more_blocks_narrow_it() -> None:
    level, ink = noisy_map(2)
    widths = []
    for side in (64, 256):
        total = Tally(block=BLOCK, draws=200, seed=0)
        total.add(level[:side, :side], ink[:side, :side], np.ones((side, side), bool))
        scores = total.scores()
        assert scores["blocks"] == (side // BLOCK) ** 2
        for name in ("auc", "average_precision", "f05", "dice", "iou", "bce"):
            assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"], name
        widths.append(scores["auc_high"] - scores["auc_low"])
    assert widths[1] < 0.6 * widths[0]


def test_one_class_only_has_no_interval() -> None:
    level, ink = noisy_map(2)
    total = Tally(block=BLOCK, draws=50, seed=0)
    total.add(level, np.zeros_like(ink), np.ones(ink.shape, bool))
    scores = total.scores()
    for name in ("auc", "auc_low", "auc_high", "f05", "threshold"):
        assert np.isnan(scores[name]), name
    assert np.isfinite(scores["bce"])
