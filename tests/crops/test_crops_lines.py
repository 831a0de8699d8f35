from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from volumen.crops.datasets import CropDataset
from volumen.crops.lines import split_lines
from volumen.crops.normalize import Normalization
from volumen.errors import SettingsError
from volumen.sources.lines.line import Line, open_lines
from volumen.views.pipelines import pipeline

HANDWRITING = Path(__file__).parents[3] / "shared" / "data" / "handwriting"


def write_lines(folder: Path, sizes: list[tuple[int, int]], splits: list[str]) -> tuple[Line, ...]:
    """Write images of (H, W) px with a width column, and open their list."""
    rng = np.random.default_rng(0)
    rows = ["file\tsplit\twidth\theight"]
    for index, ((height, width), split) in enumerate(zip(sizes, splits, strict=True)):
        Image.fromarray(rng.integers(1, 256, (height, width), dtype=np.uint8)).save(folder / f"{index}.png")
        rows.append(f"{index}.png\t{split}\t{width}\t{height}")
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n")
    return open_lines(folder / "lines.tsv")


def test_windows_follow_each_other_along_a_line_and_the_last_ends_with_it(tmp_path: Path) -> None:
    sizes = [(64, 600), (64, 180), (64, 512), (80, 256), (50, 300), (64, 20)]
    lines = write_lines(tmp_path, sizes, ["train", "", "train", "train", "", "val"])
    splits = split_lines(lines, size=(64, 256), stride=256)
    corners = [[(window.y[0], window.x[0]) for window in split.train] for split in splits]
    assert corners == [
        [(0, 0), (0, 256), (0, 344)],
        [(0, 0)],
        [(0, 0), (0, 256)],
        [(0, 0), (16, 0)],
        [(0, 0), (0, 44)],
        [],
    ]
    assert {window.shape for split in splits for window in split.train} == {(1, 64, 256)}
    assert splits[5].held_out == (lines[5].segment.window,)
    assert [(crop.box, crop.z) for crop in splits[5].held_out_crops] == [((0, 64, 0, 256), (0, 1))]


def test_test_lines_are_never_used_and_val_is_held_out(tmp_path: Path) -> None:
    parts = ["train", "test", "val", "", "test", "val", "train"]
    lines = write_lines(tmp_path, [(20, 90)] * 7, parts)
    for index in (1, 4):
        (tmp_path / f"{index}.png").unlink()
    splits = split_lines(lines, size=(16, 32), stride=(8, 16))
    for split, part in zip(splits, parts, strict=True):
        assert bool(split.train) == (part in ("train", ""))
        assert bool(split.held_out) == bool(split.held_out_crops) == (part == "val")
        assert split.by == "lines"
    few = split_lines(lines, size=(16, 32), stride=(8, 16), held_out_crops=3)
    assert sum(len(split.held_out_crops) for split in few) == 3
    assert all(split.held_out_crops for split, part in zip(few, parts, strict=True) if part == "val")


def test_without_a_val_part_a_share_of_the_lines_is_drawn(tmp_path: Path) -> None:
    lines = write_lines(tmp_path, [(16, 32)] * 30, ["", "test", "train"] * 10)

    def held_out(seed: int, share: float = 0.2) -> set[int]:
        splits = split_lines(lines, size=16, stride=16, share=share, seed=seed)
        assert all(bool(split.train) != bool(split.held_out) for split in (*splits[::3], *splits[2::3]))
        return {index for index, split in enumerate(splits) if split.held_out}

    assert len(held_out(1)) == 4
    assert held_out(1) == held_out(1)
    assert held_out(1) != held_out(2)
    assert len(held_out(1, 0.0)) == 1
    assert len(held_out(1, 1.0)) == 19
    assert not any(index % 3 == 1 for seed in range(5) for index in held_out(seed))


@pytest.mark.parametrize("parts", [["test", "test"], ["train", "test"], ["val", "val"], [""]])
def test_nothing_to_learn_from_or_to_hold_out(tmp_path: Path, parts: list[str]) -> None:
    lines = write_lines(tmp_path, [(16, 32)] * len(parts), parts)
    with pytest.raises(SettingsError, match="lines to learn from and others to reconstruct"):
        split_lines(lines, size=16, stride=16)


def test_a_crop_over_the_end_of_a_line_is_black_and_no_papyrus_there(tmp_path: Path) -> None:
    lines = write_lines(tmp_path, [(50, 180), (64, 300)], ["train", "val"])
    splits = split_lines(lines, size=(64, 256), stride=256)
    (window,) = splits[0].train
    sample = CropDataset([(lines[0].segment, window)], normalization=Normalization(), labelled=False)[0]
    expected = np.zeros((1, 64, 256), np.float32)
    expected[0, :50, :180] = np.asarray(Image.open(tmp_path / "0.png")) / np.float32(255)
    np.testing.assert_array_equal(sample["image"].numpy(), expected)
    np.testing.assert_array_equal(sample["papyrus"].numpy(), expected > 0)


@pytest.mark.skipif(not HANDWRITING.exists(), reason="the real handwriting is not beside the repository")
def test_real_words_and_lines_are_split_by_their_letters() -> None:
    for name, (train, val, test) in {"words": (9226, 1874, 804), "lines": (1600, 300, 300)}.items():
        lines = open_lines(HANDWRITING / f"{name}.tsv")
        splits = split_lines(lines, size=(64, 256), stride=256)
        used = [(bool(split.train), bool(split.held_out)) for split in splits]
        assert (used.count((True, False)), used.count((False, True)), used.count((False, False))) == (train, val, test)
        assert sum(len(split.held_out_crops) for split in splits) == 64
        assert all(
            len(split.train) == max(1, -(-line.segment.shape[2] // 256))
            for line, split in zip(lines, splits, strict=True)
            if split.train
        )
        assert not lines[0].recent._kept, "nothing was decoded"
    items = [(line.segment, window) for line, split in zip(lines, splits, strict=True) for window in split.train]
    dataset = CropDataset(
        items, normalization=Normalization(), view=pipeline("flips", (32, 128), resized_crop=True), labelled=False
    )
    for index in dataset.order(0)[:40]:
        sample = dataset[int(index)]
        assert sample["image"].shape == sample["papyrus"].shape == (1, 32, 128)
        assert float(sample["image"][sample["papyrus"] == 1].std()) > 0.02
