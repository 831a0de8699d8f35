from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from volumen.crops.batches import batches, steps_per_epoch
from volumen.crops.cache import LABELS, PAPYRUS, BlockCache, Flat
from volumen.crops.datasets import CropDataset, voxel_samples
from volumen.crops.normalize import Normalization
from volumen.crops.select import place_windows
from volumen.errors import LabelError, SettingsError, SourceError
from volumen.sources.labels.rasters import Raster
from volumen.sources.segment import Segment
from volumen.windows import Size, Window, grid, height_width


class Watched:
    """A volume that counts its reads, and can be made slow."""

    def __init__(self, voxels: np.ndarray, seconds: float = 0.0) -> None:
        self.voxels, self.seconds, self.reads = voxels, seconds, 0
        self.shape, self.dtype = voxels.shape, voxels.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        self.reads += 1
        time.sleep(self.seconds)
        return self.voxels[key]


class Roll:
    """A view that draws how far to roll, and how much to add."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, int, int]) -> tuple[int, float]:
        assert len(shape) == 3
        return int(generator.integers(0, shape[2])), float(generator.random())

    def apply(self, drawn, image, *flats):
        by, brighter = drawn
        return image.roll(by, 2) + brighter, *(flat.roll(by, 2) for flat in flats)


def segment_of(seed: int, shape: tuple[int, int, int] = (12, 300, 520), dtype: type = np.uint8, **options) -> Segment:
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, 256, shape).astype(dtype)
    ink, supervision = rng.random(shape[1:]).astype(np.float32), (rng.random(shape[1:]) > 0.3).astype(np.float32)
    return Segment(
        name=f"s{seed}",
        source=f"s{seed}",
        levels=(Watched(voxels, **options),),
        ink=Raster.of(ink),
        supervision=Raster.of(supervision),
    )


def items_of(segment: Segment, size: int = 100, stride: int = 60) -> list[tuple[Segment, Window]]:
    return [(segment, window) for window in grid(segment.window.layers(2, 10), size, stride)]


@pytest.mark.parametrize("cache_bytes", [0, 2_000_000, 2**30])
def test_samples_are_the_voxels_labels_and_zeros_beyond_the_edge(cache_bytes: int) -> None:
    segments = [segment_of(1), segment_of(2).reversed()]
    items = [item for segment in segments for item in items_of(segment)]
    dataset = CropDataset(items, normalization=Normalization(), cache_bytes=cache_bytes)
    assert len(dataset) == len(items)
    for index, (segment, window) in enumerate(items):
        sample = dataset[index]
        inside = window.clip(segment.shape)
        at = inside.inside(window)
        image, ink, supervision = (np.zeros(shape, np.float32) for shape in (window.shape, *[window.shape[1:]] * 2))
        image[at.zyx] = segment.read(inside) / np.float32(255)
        ink[at.yx] = segment.raster("ink").read(inside)
        supervision[at.yx] = segment.raster("supervision").read(inside) > 0.5
        for name, expected in (("image", image), ("ink", ink[None]), ("supervision", supervision[None])):
            assert sample[name].dtype == torch.float32
            np.testing.assert_array_equal(sample[name].numpy(), expected)


def unreadable(shape: tuple[int, int]) -> Raster:
    def decode() -> np.ndarray:
        raise AssertionError("a label was touched")

    return Raster(source="label", shape=shape, extent=shape, decode=decode)


@pytest.mark.parametrize("cache_bytes", [0, 300_000, 2**30])
@pytest.mark.parametrize("size", [100, (64, 256), (330, 90)])
def test_samples_without_labels_are_voxels_and_papyrus(cache_bytes: int, size: Size) -> None:
    masked, bare = (replace(segment_of(seed), ink=None, supervision=None) for seed in (1, 2))
    mask = np.random.default_rng(3).random((280, 520)) > 0.4  # its file ends before the volume does
    masked = replace(masked, mask=Raster.of(mask).fit((300, 520), "s"))
    label = unreadable((300, 520))
    labelled = replace(masked, ink=label, supervision=label, held_out=label)
    inner, (height, width) = (2, 10), height_width(size)
    windows = [*place_windows(masked.window.layers(*inner), size, 70, to_end=True)]
    windows += [
        Window(inner, (-9, height - 9), (-20, width - 20)),
        Window(inner, (290, 290 + height), (500, 500 + width)),
    ]
    for segment in (masked, labelled, bare, bare.reversed()):
        dataset = CropDataset(
            [(segment, window) for window in windows],
            normalization=Normalization(),
            cache_bytes=cache_bytes,
            labelled=False,
        )
        for index, window in enumerate(windows):
            inside = window.clip(segment.shape)
            at = inside.inside(window)
            image, papyrus = np.zeros(window.shape, np.float32), np.zeros(window.shape[1:], np.float32)
            image[at.zyx] = segment.read(inside) / np.float32(255)
            papyrus[at.yx] = 1 if segment.mask is None else np.pad(mask, ((0, 20), (0, 0)))[inside.yx]
            sample = dataset[index]
            assert list(sample) == ["image", "papyrus"]
            np.testing.assert_array_equal(sample["image"].numpy(), image)
            np.testing.assert_array_equal(sample["papyrus"].numpy(), papyrus[None])
            assert {tensor.dtype for tensor in sample.values()} == {torch.float32}


def test_labels_change_no_sample_nor_order_without_them() -> None:
    plain = [replace(segment_of(seed), ink=None, supervision=None) for seed in (1, 2)]
    with_labels = [replace(segment, ink=unreadable((300, 520))) for segment in plain]
    datasets = [
        CropDataset(
            [item for segment in segments for item in items_of(segment)],
            normalization=Normalization(),
            view=Roll(),
            cache_bytes=700_000,
            labelled=False,
        )
        for segments in (plain, with_labels)
    ]
    orders = [dataset.order(3) for dataset in datasets]
    assert np.array_equal(*orders)
    for index in orders[0]:
        one, other = (dataset.sample(int(index), epoch=3) for dataset in datasets)
        assert all(torch.equal(one[name], other[name]) for name in ("image", "papyrus"))


@pytest.mark.parametrize("flats", [LABELS, PAPYRUS])
def test_memory_is_counted_as_it_is_taken(flats: tuple[Flat, ...]) -> None:
    segment = segment_of(1, dtype=np.uint16)
    cache = BlockCache(900_000, flats)
    for _, window in items_of(segment):
        cache.read(segment, window)
        held = sum(cube.nbytes for cube in cache._blocks.values())
        assert held == cache._held == sum(cache.nbytes(segment, block) for _, block in cache._blocks)
        assert held <= 900_000
    assert held > 0


def test_what_fits_the_cache_is_read_once_and_no_more_is_held_than_allowed() -> None:
    segment = segment_of(1)
    items = items_of(segment)
    dataset = CropDataset(items, normalization=Normalization())
    for epoch in range(3):
        for index in dataset.order(epoch):
            dataset.sample(int(index), epoch=epoch)
    assert segment.levels[0].reads == 2 * 3  # blocks of 256 px cover 300 x 520
    cache = BlockCache(1_500_000)
    for _, window in items:
        cache.read(segment, window)
        assert sum(cube.nbytes for cube in cache._blocks.values()) == cache._held <= 1_500_000
    assert segment.levels[0].reads > 12


def test_order_is_a_shuffle_and_stays_near_where_the_cache_is_small() -> None:
    segment = segment_of(1, (4, 2500, 2500))
    items = items_of(segment, 200, 200)
    large = CropDataset(items, normalization=Normalization())
    small = CropDataset(items, normalization=Normalization(), cache_bytes=10_000_000)
    for dataset in (large, small):
        orders = [dataset.order(epoch) for epoch in (0, 0, 1)]
        assert sorted(orders[0]) == list(range(len(items)))
        assert np.array_equal(orders[0], orders[1])
        assert not np.array_equal(orders[0], orders[2])
    for index in small.order(0):
        small.sample(int(index), epoch=0)
    near, reads = segment.levels[0].reads, 0
    assert near < 2.5 * 100  # 100 blocks of 256 px; without the order about four reads a window, 676
    segment.levels[0].reads = reads
    cache = BlockCache(10_000_000)
    for index in large.order(0):
        cache.read(*items[index])
    assert segment.levels[0].reads > 1.5 * near


def test_a_sample_depends_on_seed_epoch_and_index_alone() -> None:
    items = items_of(segment_of(3))

    def sample(index: int, epoch: int, seed: int = 0) -> np.ndarray:
        dataset = CropDataset(items, normalization=Normalization(), view=Roll(), seed=seed)
        return dataset.sample(index, epoch=epoch)["image"].numpy()

    assert np.array_equal(sample(3, 1), sample(3, 1))
    assert not np.array_equal(sample(3, 1), sample(3, 2))
    assert not np.array_equal(sample(3, 1), sample(3, 1, seed=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_no_numbers(bad: float) -> None:
    segment = segment_of(1, dtype=np.float32)
    segment.levels[0].voxels[5, 50, 50] = bad
    dataset = CropDataset(items_of(segment), normalization=Normalization(high=255.0, ceiling=255.0))
    with pytest.raises(SourceError, match="s1 holds NaN or infinity"):
        dataset[0]
    dataset[len(dataset) - 1]
    with pytest.raises(SourceError, match="NaN or infinity"):
        list(batches(dataset, epoch=0, batch=4))


def test_no_windows() -> None:
    with pytest.raises(LabelError, match="got none"):
        CropDataset([], normalization=Normalization())


def everything(dataset: CropDataset, **options) -> list[dict[str, torch.Tensor]]:
    return list(batches(dataset, **options))


def test_batches_are_full_see_all_and_do_not_depend_on_threads_or_start() -> None:
    dataset = CropDataset(items_of(segment_of(4)), normalization=Normalization(), view=Roll(), seed=5)
    whole = everything(dataset, epoch=2, batch=8)
    assert len(whole) == steps_per_epoch(len(dataset), 8)
    assert {tuple(batch["image"].shape) for batch in whole} == {(8, 8, 100, 100)}
    order = np.resize(dataset.order(2), len(whole) * 8)
    assert set(Counter(order.tolist()).values()) <= {1, 2}
    for step, batch in enumerate(whole):
        for place in range(8):
            expected = dataset.sample(int(order[step * 8 + place]), epoch=2)
            assert all(torch.equal(batch[name][place], expected[name]) for name in expected)
    for start in (0, 1, len(whole) - 1, len(whole)):
        again = everything(dataset, epoch=2, batch=8, start_step=start, threads=3, ahead=5)
        assert len(again) == len(whole) - start
        for first, second in zip(whole[start:], again, strict=True):
            assert all(torch.equal(first[name], second[name]) for name in first)


def test_ranks_share_a_batch() -> None:
    dataset = CropDataset(items_of(segment_of(4)), normalization=Normalization())
    whole = everything(dataset, epoch=0, batch=6)
    shares = [everything(dataset, epoch=0, batch=6, rank=rank, world_size=3) for rank in range(3)]
    for step, batch in enumerate(whole):
        for rank in range(3):
            assert torch.equal(shares[rank][step]["image"], batch["image"][rank::3])
    with pytest.raises(SettingsError, match="divides by 4 devices; got 6"):
        everything(dataset, epoch=0, batch=6, world_size=4)


def test_a_few_windows_fill_a_large_batch() -> None:
    dataset = CropDataset(items_of(segment_of(4))[:3], normalization=Normalization())
    (batch,) = everything(dataset, epoch=0, batch=8)
    assert len(batch["image"]) == 8


def test_only_so_much_is_made_ahead_and_stopping_ends_the_thread() -> None:
    segment = segment_of(4)
    dataset = CropDataset(items_of(segment, 100, 20), normalization=Normalization(), view=Counting())
    producing = batches(dataset, epoch=0, batch=4, ahead=2)
    next(producing)
    deadline = time.monotonic() + 5
    while dataset._view.drawn < 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert dataset._view.drawn == 12  # one taken, two ahead
    producing.close()
    assert not any(thread.name.startswith("crops") for thread in threading.enumerate())


class Counting(Roll):
    drawn = 0

    def draw(self, generator, shape):
        self.drawn += 1
        return super().draw(generator, shape)


def test_voxel_samples_are_spread_over_all_items() -> None:
    items = [item for seed in (1, 2) for item in items_of(segment_of(seed))]
    samples = list(voxel_samples(items, 5))
    assert len(samples) == 5
    expected = [items[i] for i in np.linspace(0, len(items) - 1, 5).round().astype(int)]
    for sample, (segment, window) in zip(samples, expected, strict=True):
        assert np.array_equal(sample, segment.read(window.clip(segment.shape)))
    assert len(list(voxel_samples(items[:3], 32))) == 3
