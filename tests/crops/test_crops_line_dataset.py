"""LineDataset and its batches: the same samples for the same seed, and broken images named, skipped and counted."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import volumen.sources.lines.line as lines_module
from volumen.crops.line_batches import line_batches
from volumen.crops.line_dataset import LineDataset
from volumen.crops.line_images import PAPER, LineForm
from volumen.crops.width_buckets import by_width, width_buckets
from volumen.errors import SettingsError, SourceError
from volumen.sources.lines.line import Line, open_lines
from volumen.sources.lines.read_lines import read_lines

HANDWRITING = Path(__file__).parents[3] / "shared" / "data" / "handwriting"
FORM = LineForm(height=16)


def write_lines(folder: Path, sizes: list[tuple[int, int]]) -> tuple[Line, ...]:
    """Write images of (H, W) px and open their list, which says their sizes."""
    rows = ["file\ttext\twidth\theight"]
    for index, (height, width) in enumerate(sizes):
        pixels = np.random.default_rng(index).integers(0, 256, (height, width), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        rows.append(f"{index}.png\tword {index}\t{width}\t{height}")
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n")
    return open_lines(folder / "lines.tsv")


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    decoded: list[str] = []

    def counted(image: Any) -> Any:
        decoded.append(image.location.name)
        return eight_bit(image)

    eight_bit = lines_module.eight_bit
    monkeypatch.setattr(lines_module, "eight_bit", counted)
    return decoded


class Shift:
    """A view that adds what it draws, and cuts one column off, to be seen."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, int, int]) -> float:
        assert shape[:2] == (1, 16)
        return float(generator.uniform())

    def apply(self, params: float, image: torch.Tensor) -> torch.Tensor:
        return image[..., 1:] + params


def test_samples_are_the_images_in_their_form(tmp_path: Path) -> None:
    lines = write_lines(tmp_path, [(16, 40), (32, 50), (16, 9)])
    dataset = LineDataset(lines, form=FORM)
    assert dataset.widths.tolist() == [40, 25, 9]
    for index, line in enumerate(lines):
        pixels = line.segment.read(line.segment.window)[0]
        sample = dataset[index]
        assert torch.equal(sample.image, FORM(pixels))
        assert (sample.text, sample.name) == (line.text, line.name)
    assert LineDataset(lines, form=PAPER).batch([2, 0], epoch=0).images.shape == (2, 1, 32, 100)
    assert len(dataset) == 3
    assert dataset.skipped == {}


def test_views_depend_on_seed_epoch_index_and_copy_alone(tmp_path: Path) -> None:
    lines = write_lines(tmp_path, [(16, 40)] * 3)

    def drawn(seed: int, epoch: int, index: int, copy: int) -> float:
        dataset = LineDataset(lines, form=FORM, view=Shift(), seed=seed)
        seen = dataset.sample(index, epoch=epoch, copy=copy).image
        plain = LineDataset(lines, form=FORM)[index].image[..., 1:]
        assert float((seen - plain).std()) < 1e-6
        return round(float((seen - plain).mean()), 5)

    keys = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    assert len({drawn(*key) for key in keys}) == len(keys)
    assert [drawn(*key) for key in keys] == [drawn(*key) for key in keys]


def test_two_views_of_each_line_are_drawn_apart(tmp_path: Path) -> None:
    dataset = LineDataset(write_lines(tmp_path, [(16, 40), (16, 21), (16, 30)]), form=FORM, view=Shift())
    batch = dataset.batch([2, 0, 1], epoch=4, twice=True)
    assert batch is not None
    assert batch.again is not None
    assert batch.names == ("2", "0", "1")
    assert batch.texts == ("word 2", "word 0", "word 1")
    assert batch.widths.tolist() == [29, 39, 20]
    assert batch.images.shape == batch.again.shape == (3, 1, 16, 40)
    for copy, images in enumerate((batch.images, batch.again)):
        for row, index in zip(images, (2, 0, 1), strict=True):
            one = dataset.sample(index, epoch=4, copy=copy).image
            assert torch.equal(row[..., : one.shape[-1]], one)
            assert not row[..., one.shape[-1] :].any()


def test_a_step_of_training_has_all_its_lines_though_some_are_broken(tmp_path: Path) -> None:
    lines = write_lines(tmp_path, [(16, 20 + index) for index in range(12)])
    for index in (3, 4, 11):
        (tmp_path / f"{index}.png").write_text("no picture")
    dataset = LineDataset(lines, form=FORM)
    batch = dataset.batch([2, 3, 8, 11], epoch=0, full=True)
    assert batch is not None
    assert batch.names == ("2", "5", "8", "0"), "the next in width that is whole, and from the longest on the shortest"
    rows = width_buckets(dataset.widths, 5, seed=0, epoch=0)
    made = list(line_batches(dataset, rows, epoch=0, full=True, twice=True))
    assert [len({*batch.names}) for batch in made] == [5, 5, 5]
    alone = list(line_batches(dataset, [np.array([3]), np.array([0])], epoch=0, full=True))
    assert [batch.names for batch in alone] == [("5",), ("0",)]
    assert {*dataset.skipped["unreadable image"].first} == {"3", "4", "11"}
    everything = dataset.batch(range(12), epoch=0, full=True)
    assert everything is not None
    assert len(everything.names) == 9, "no line stands in for another twice"


def test_no_stand_in_is_sought_for_lines_that_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = LineDataset(write_lines(tmp_path, [(16, 20 + index) for index in range(6)]), form=FORM)
    sorted_by = []
    monkeypatch.setattr(np, "argsort", lambda *args, **_: sorted_by.append(args))  # of all lines, for each line
    batch = dataset.batch(range(4), epoch=0, full=True)
    assert batch is not None
    assert len(batch.names) == 4
    assert not sorted_by


def test_broken_narrow_and_endless_images_are_named_skipped_and_counted(tmp_path: Path) -> None:
    lines = write_lines(tmp_path, [(16, 20)] * 8 + [(16, 3), (2, 2000), (64, 12)])
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[:200])
    (tmp_path / "5.png").write_text("no picture")
    (tmp_path / "7.png").unlink()
    dataset = LineDataset(lines, form=FORM)
    narrow, endless = "narrower than a frame of 4 px, at height 16", "wider than 8192 px, at height 16"
    assert {reason: dropped.first for reason, dropped in dataset.skipped.items()} == {
        narrow: ("8", "10"),
        endless: ("9",),
    }
    assert len(dataset) == 8
    for epoch in range(3):
        rows = width_buckets(dataset.widths, 4, seed=0, epoch=epoch)
        made = list(line_batches(dataset, rows, epoch=epoch, threads=2))
        assert sorted(name for batch in made for name in batch.names) == ["0", "1", "3", "4", "6"]
    assert {reason: (count.count, count.first) for reason, count in dataset.skipped.items()} == {
        narrow: (2, ("8", "10")),
        "unreadable image": (2, dataset.skipped["unreadable image"].first),
        endless: (1, ("9",)),
        "missing image": (1, ("7",)),
    }
    assert {*dataset.skipped["unreadable image"].first} == {"2", "5"}
    assert dataset.batch([2, 5], epoch=0) is None
    alone = list(line_batches(dataset, [np.array([2]), np.array([0]), np.array([5])], epoch=0))
    assert [batch.names for batch in alone] == [("0",)]
    with pytest.raises(SourceError, match=r"2\.png is damaged"):
        dataset.sample(2, epoch=0)


def test_a_dataset_can_be_sent_to_another_process(tmp_path: Path) -> None:
    dataset = LineDataset(write_lines(tmp_path, [(16, 40), (16, 3)]), form=FORM, view=Shift(), seed=5)
    sample = dataset[0]
    message = pickle.dumps(dataset)
    assert len(message) < 4000, "no pixels"
    again = pickle.loads(message)
    assert torch.equal(again[0].image, sample.image)
    assert again.skipped == dataset.skipped != {}


def test_lines_without_a_size_that_cannot_be_opened_are_left_out_at_once(tmp_path: Path) -> None:
    write_lines(tmp_path, [(16, 20)] * 3)
    (tmp_path / "lines.tsv").write_text("file\n0.png\n1.png\n2.png\n")
    lines = open_lines(tmp_path / "lines.tsv")
    (tmp_path / "1.png").write_text("no picture")
    dataset = LineDataset(lines, form=FORM)
    assert [line.name for line in dataset.lines] == ["0", "2"]
    assert dataset.skipped["unreadable image"].first == ("1",)
    with pytest.raises(SourceError, match=r"left out unreadable image: 1 \(1\)"):
        LineDataset(lines[1:2], form=FORM)
    with pytest.raises(SourceError, match="left out nothing"):
        LineDataset([], form=FORM)


def test_batches_come_in_order_can_be_resumed_and_shared_among_devices(tmp_path: Path) -> None:
    dataset = LineDataset(write_lines(tmp_path, [(16, 8 + 3 * index) for index in range(13)]), form=FORM, view=Shift())
    rows = width_buckets(dataset.widths, 4, seed=3, epoch=2)
    whole = list(line_batches(dataset, rows, epoch=2, threads=3, ahead=3))
    assert [batch.names for batch in whole] == [tuple(map(str, row)) for row in rows]
    again = LineDataset(dataset.lines, form=FORM, view=Shift(), cache_bytes=0)
    for first, second in zip(whole[2:], line_batches(again, rows, epoch=2, start_step=2), strict=True):
        assert first.names == second.names
        assert torch.equal(first.images, second.images)
    devices = [list(line_batches(dataset, rows, epoch=2, rank=rank, world_size=2)) for rank in range(2)]
    for parts, batch in zip(zip(*devices, strict=True), whole, strict=True):
        assert sorted(parts[0].names + parts[1].names) == sorted(batch.names)
        assert len(parts[0].names) == len(parts[1].names) == 2
    with pytest.raises(SettingsError, match="rank is 0 to 1; got 2"):
        next(line_batches(dataset, rows, epoch=2, rank=2, world_size=2))


def test_images_are_decoded_once_as_long_as_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = write_lines(tmp_path, [(32, 40)] * 6)
    decoded = count_decoded(monkeypatch)
    dataset = LineDataset(lines, form=FORM)
    rows = by_width(dataset.widths, 4)
    for epoch in range(3):
        assert len(list(line_batches(dataset, rows, epoch=epoch))) == 2
    assert sorted(decoded) == [f"{index}.png" for index in range(6)]
    assert dataset._kept._spent == 6 * 16 * 20


def test_a_page_is_decoded_once_for_all_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = 3
    for page in range(pages):
        pixels = np.random.default_rng(page).integers(0, 256, (90, 60), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{page}.png")
        marked = "".join(
            f'<TextLine id="{line}"><Coords points="5,{top} 50,{top} 50,{top + 9} 5,{top + 9}"/></TextLine>'
            for line, top in enumerate(range(0, 80, 10))
        )
        (tmp_path / f"{page}.xml").write_text(
            f'<PcGts><Page imageFilename="{page}.png" imageWidth="60" imageHeight="90">{marked}</Page></PcGts>'
        )
    lines = [  # each line with a cache of its own that holds no page, as if thousands lay between
        Line(**{name: getattr(line, name) for name in ("name", "location", "size", "outline")}, recent=line.recent)
        for line in read_lines(tmp_path).lines
    ]
    lines[0].recent._limit = 0
    decoded = count_decoded(monkeypatch)
    dataset = LineDataset(lines, form=FORM)
    order = np.random.default_rng(0).permutation(len(dataset))
    samples = [dataset.sample(int(index), epoch=0) for index in order]
    assert sorted(decoded) == ["0.png", "1.png", "2.png"]
    for index, sample in zip(order, samples, strict=True):
        segment = lines[index].segment
        assert torch.equal(sample.image, FORM(segment.read(segment.window)[0]))


@pytest.mark.skipif(not HANDWRITING.exists(), reason="the real handwriting is not beside the repository")
def test_real_words_fill_batches_with_little_padding() -> None:
    dataset = LineDataset(read_lines(HANDWRITING / "words.tsv").lines, form=LineForm(height=32))
    assert (len(dataset), dataset.skipped) == (11_904, {})
    rows = width_buckets(dataset.widths, 64, seed=0, epoch=0)
    padded = sum(len(row) * dataset.widths[row].max() for row in rows)
    assert 1 - sum(dataset.widths[row].sum() for row in rows) / padded < 0.2
    for batch in line_batches(dataset, rows[:4], epoch=0):
        assert batch.images.shape[:3] == (64, 1, 32)
        assert all(batch.texts)
        inside = torch.arange(batch.images.shape[-1]) < batch.widths[:, None]
        assert float(batch.images[:, 0].mean(dim=1)[inside].median()) > 0.6, "ink is dark on light paper"
        assert not batch.images[:, 0].mean(dim=1)[~inside].any()
