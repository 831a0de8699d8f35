"""PhotoDataset and its split: masks that match their images, equal samples for a seed, broken ones skipped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from volumen.crops.batches import batches
from volumen.crops.photo_dataset import PhotoDataset
from volumen.crops.photo_images import Decoded, resize_flat, resize_pixels
from volumen.crops.photo_split import split_photos
from volumen.errors import SettingsError, SourceError
from volumen.sources.photos.read_photos import Photo, read_photos
from volumen.views.photo import PhotoView

if TYPE_CHECKING:
    from pathlib import Path

MARK = (250, 10, 10)


def write_photos(folder: Path, count: int = 5, size: tuple[int, int] = (60, 80)) -> tuple[Photo, ...]:
    """Write photographs whose red boxes are what their polygons mark, with a region to ignore at the top left."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        draw = np.random.default_rng(index)
        pixels = draw.integers(0, 90, (*size, 3), dtype=np.uint8)
        y, x = (int(draw.integers(8, side - 20)) for side in size)
        pixels[y : y + 12, x : x + 16] = MARK
        box = [[x, y], [x + 16, y], [x + 16, y + 12], [x, y + 12]]
        Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
        text = [[{"polygon": box, "text": "中", "is_chinese": True}]]
        ignore = [{"polygon": [[0, 0], [6, 0], [6, 6], [0, 6]]}]
        lines.append(json.dumps({"file_name": f"{index}.png", "annotations": text, "ignore": ignore}))
    (folder / "list.jsonl").write_text("\n".join(lines) + "\n")
    return read_photos(folder / "list.jsonl").photos


def test_shrinking_by_whole_numbers_averages_and_masks_take_what_is_at_their_centre() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    means = pixels.reshape(4, 3, 5, 4, 3).astype(float).mean(axis=(1, 3))  # (4 3) (5 4) C -> 4 5 C
    assert np.abs(resize_pixels(pixels, (4, 5)).astype(float) - means).max() <= 0.5
    np.testing.assert_array_equal(resize_pixels(pixels, (12, 20)), pixels)
    flat = np.random.default_rng(1).random((13, 22)) < 0.3
    expected = [[flat[int((y + 0.5) * 13 / 5), int((x + 0.5) * 22 / 7)] for x in range(7)] for y in range(5)]
    np.testing.assert_array_equal(resize_flat(flat, (5, 7)), expected)


@pytest.mark.parametrize("wanted", [(7, 9), (12, 9), (1, 1)])
def test_shrinking_weighs_pixels_by_how_much_of_them_lies_inside(wanted: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    tall, wide = 12 / wanted[0], 20 / wanted[1]
    for row, column in np.ndindex(wanted):
        total = np.zeros(3)
        for y, x in np.ndindex(12, 20):
            down = min((row + 1) * tall, y + 1) - max(row * tall, y)
            along = min((column + 1) * wide, x + 1) - max(column * wide, x)
            total += pixels[y, x] * max(0, down) * max(0, along)
        assert np.abs(resize_pixels(pixels, wanted)[row, column] - total / (tall * wide)).max() <= 0.51


def test_growing_interpolates_as_pillow_does() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    theirs = np.asarray(Image.fromarray(pixels).resize((50, 31), Image.Resampling.BILINEAR))
    assert np.abs(resize_pixels(pixels, (31, 50)).astype(int) - theirs).max() <= 1


def test_samples_are_resized_with_their_masks(tmp_path: Path) -> None:
    photos = write_photos(tmp_path)
    dataset = PhotoDataset(photos, size=(30, 40))
    for index, photo in enumerate(photos):
        sample = dataset[index]
        assert [tuple(sample[name].shape) for name in ("image", "target", "supervision")] == [
            (3, 30, 40),
            (1, 30, 40),
            (1, 30, 40),
        ]
        assert (sample["image"].dtype, sample["target"].dtype) == (torch.float32, torch.float32)
        np.testing.assert_array_equal(sample["target"][0].bool(), resize_flat(photo.target(), (30, 40)))
        assert (sample["supervision"] == 0).sum() == 9
        red = sample["image"][0] > 0.7  # means of two by two pixels, and the mask at their centres
        assert (red != sample["target"][0].bool()).sum() <= 2 * (6 + 8) / 2


def test_views_move_image_and_mask_together_and_a_seed_draws_them(tmp_path: Path) -> None:
    photos = write_photos(tmp_path)
    dataset = PhotoDataset(photos, size=(60, 80), view=PhotoView(), seed=3)
    again = PhotoDataset(photos, size=(60, 80), view=PhotoView(), seed=3)
    seen = []
    for epoch in range(6):
        sample = dataset.sample(1, epoch=epoch)
        seen.append(sample["image"])
        other = again.sample(1, epoch=epoch)
        assert all(torch.equal(sample[name], other[name]) for name in sample)
        assert set(sample["target"].unique().tolist()) <= {0.0, 1.0}
        red = sample["image"][0] > 0.6
        assert (red != sample["target"][0].bool()).sum() <= 0.12 * red.sum() + 4  # the interpolated edge
    assert not any(torch.equal(seen[0], each) for each in seen[1:])
    assert not torch.equal(seen[0], PhotoDataset(photos, size=(60, 80), view=PhotoView(), seed=4)[1]["image"])


def test_crops_are_cut_at_native_scale_and_seek_what_is_marked(tmp_path: Path) -> None:
    photos = write_photos(tmp_path, size=(160, 200))
    dataset = PhotoDataset(photos, size=32, fit="crop")
    whole = [photo.pixels() for photo in photos]
    marked = 0
    for epoch in range(40):
        sample = dataset.sample(2, epoch=epoch)
        red = (sample["image"][0] > 0.9) & (sample["image"][1] < 0.1)
        np.testing.assert_array_equal(red, sample["target"][0].bool())
        marked += bool(red.any())
        pixels = (sample["image"].permute(1, 2, 0) * 255).round().byte().numpy()
        views = np.lib.stride_tricks.sliding_window_view(whole[2][..., 0], (32, 32))
        assert (views == pixels[..., 0]).all(axis=(2, 3)).any()
    assert marked >= 20  # by chance alone about 3 of 40 would show the box
    order = [batch["photo"].tolist() for batch in dataset.in_order(7)]
    assert [index for each in order for index in each] == [index for index in range(5) for _ in range(5 * 7)]
    assert [len(each) for each in order] == [7] * 25


def test_tiles_cover_a_photograph_once_and_what_is_beyond_does_not_count(tmp_path: Path) -> None:
    photos = write_photos(tmp_path, count=1, size=(50, 70))
    dataset = PhotoDataset(photos, size=32, fit="crop")
    (batch,) = dataset.in_order(64)
    assert len(batch["image"]) == 2 * 3
    target, counts = photos[0].target(), photos[0].supervision()
    assert batch["target"].sum() == target.sum()
    assert batch["supervision"].sum() == counts.sum()
    rebuilt = batch["image"].reshape(2, 3, 3, 32, 32).permute(2, 0, 3, 1, 4).reshape(3, 64, 96)[:, :50, :70]
    np.testing.assert_array_equal((rebuilt * 255).round().byte().permute(1, 2, 0), photos[0].pixels())
    small = PhotoDataset(photos, size=96, fit="crop")[0]
    assert small["supervision"].sum() == counts.sum()


def test_drawn_windows_stay_inside_and_reach_every_corner() -> None:
    decoded = Decoded(pixels=np.zeros((40, 50, 3), np.uint8), flats=np.zeros((2, 40, 50), bool))
    generator = np.random.default_rng(0)
    windows = [decoded.draw_window(generator, (32, 32)) for _ in range(400)]
    assert {min(window.y[0] for window in windows), max(window.y[1] for window in windows)} == {0, 40}
    assert {min(window.x[0] for window in windows), max(window.x[1] for window in windows)} == {0, 50}


def test_tags_in_the_order_of_the_vocabulary_and_images_alone(tmp_path: Path) -> None:
    for name in "ab":
        Image.fromarray(np.full((20, 20, 3), 9, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("image,labels\na.png,shoes|bag\nb.png,skin\n")
    found = read_photos(tmp_path)
    dataset = PhotoDataset(found.photos, labels="tags", tags=("bag", "hat", "shoes"), size=16, view=PhotoView())
    assert [dataset[index]["tags"].tolist() for index in range(2)] == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    assert set(dataset[0]) == {"image", "tags"}
    assert set(PhotoDataset(found.photos, labels="none", size=16, view=PhotoView())[0]) == {"image"}
    with pytest.raises(SettingsError, match="vocabulary"):
        PhotoDataset(found.photos, labels="tags")
    with pytest.raises(SourceError, match=r"left out neither polygons nor mask: 2 \(a, b\)"):
        PhotoDataset(found.photos)


def test_broken_photographs_are_named_and_others_stand_in(tmp_path: Path) -> None:
    photos = write_photos(tmp_path)
    (tmp_path / "images" / "1.png").write_bytes((tmp_path / "images" / "1.png").read_bytes()[:2000])
    (tmp_path / "images" / "4.png").unlink()
    dataset = PhotoDataset(photos, size=32)
    assert torch.equal(dataset.sample(1, epoch=0)["image"], dataset.sample(2, epoch=0)["image"])
    assert torch.equal(dataset.sample(4, epoch=0)["image"], dataset.sample(0, epoch=0)["image"])
    assert {reason: each.first for reason, each in dataset.skipped.items()} == {
        "image or mask that cannot be used": ("1",),
        "missing image": ("4",),
    }
    assert torch.cat([batch["photo"] for batch in dataset.in_order(2)]).tolist() == [0, 2, 3]
    for batch in batches(dataset, epoch=0, batch=4, threads=2):
        assert batch["image"].shape == (4, 3, 32, 32)
    for name in "023":
        (tmp_path / "images" / f"{name}.png").unlink()
    with pytest.raises(SourceError, match="None of the photographs can be read"):
        PhotoDataset(photos, size=32).sample(0, epoch=0)


def test_what_is_kept_in_memory_changes_nothing(tmp_path: Path) -> None:
    photos = write_photos(tmp_path)
    for fit in ("resize", "crop"):
        roomy, tight = (PhotoDataset(photos, size=32, fit=fit, view=PhotoView(), cache_bytes=n) for n in (2**30, 1))
        for epoch in range(2):
            for one, other in zip(
                batches(roomy, epoch=epoch, batch=2), batches(tight, epoch=epoch, batch=2), strict=True
            ):
                assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_split_is_drawn_by_its_seed_and_leaves_none_out(tmp_path: Path) -> None:
    photos = write_photos(tmp_path, count=20)
    split = split_photos(photos, held_out_share=0.1, seed=0)
    assert (len(split.train), len(split.held_out)) == (18, 2)
    assert sorted((*split.train, *split.held_out), key=photos.index) == list(photos)
    assert split == split_photos(photos, held_out_share=0.1, seed=0)
    assert len({split_photos(photos, seed=seed).held_out for seed in range(8)}) > 4
    assert len(split_photos(photos[:2], held_out_share=0.9).train) == 1
    with pytest.raises(SettingsError, match="two photographs or more"):
        split_photos(photos[:1])
    with pytest.raises(SettingsError, match="both excluded"):
        split_photos(photos, held_out_share=1.0)
