"""Transcribing: every line once, in order, whatever its batch, and broken images passed over and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from volumen.crops.alphabet import Alphabet
from volumen.crops.line_dataset import LineDataset
from volumen.crops.line_images import LineForm
from volumen.errors import OutOfMemoryError, SettingsError
from volumen.prediction.transcribe import TextReading, transcribe
from volumen.sources.left_out import UNREADABLE_IMAGE
from volumen.sources.lines.read_lines import read_lines

if TYPE_CHECKING:
    from pathlib import Path

    from volumen.crops.line_images import LineBatch

DIGITS = Alphabet(tuple("0123456789"))


@dataclass(frozen=True)
class Spelling:
    indices: tuple[int, ...]
    confidence: float


class WidthReader:
    """Read, of each line, its width and, as confidence, its grey; remember the batches."""

    def __init__(self, most: int = 10**6) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.most = most

    def __call__(self, lines: LineBatch) -> list[Spelling]:
        images, widths = lines.images, lines.widths
        assert len(lines.names) == len(lines.texts) == len(widths) == len(images)
        if len(images) > self.most:
            raise torch.OutOfMemoryError  # as a GPU says it
        self.shapes.append(tuple(images.shape))
        return [
            Spelling(tuple(DIGITS.encode(str(width))[0]), float(image[..., :width].mean()))
            for image, width in zip(images, widths.tolist(), strict=True)
        ]


def dataset_of(folder: Path, widths: list[int], broken: tuple[int, ...] = ()) -> LineDataset:
    """Write images of 16 px and some widths, line i of the grey i."""
    for index, width in enumerate(widths):
        file = folder / f"line{index:03}.png"
        Image.fromarray(np.full((16, width), index, np.uint8)).save(file)
        if index in broken:
            file.write_bytes(file.read_bytes()[:45])  # its header is whole
    return LineDataset(read_lines(folder).lines, form=LineForm(height=16))


def test_lines_come_in_their_order_each_with_its_own_text(tmp_path: Path) -> None:
    widths = np.random.default_rng(0).integers(4, 90, 100).tolist()
    dataset = dataset_of(tmp_path, widths)
    for batch, threads in ((1, 1), (2, 3), (7, 1), (200, 1)):
        reader = WidthReader()
        readings = list(transcribe(reader, dataset, DIGITS, batch=batch, threads=threads))
        assert [reading.index for reading in readings] == list(range(100))
        assert [reading.name for reading in readings] == [line.name for line in dataset.lines]
        assert [reading.text for reading in readings] == list(map(str, widths))
        np.testing.assert_allclose([reading.confidence for reading in readings], np.arange(100) / 255, atol=1e-6)
        assert max(shape[0] for shape in reader.shapes) == min(batch, 100)
    assert isinstance(readings[0], TextReading)


def test_lines_of_like_width_are_read_together(tmp_path: Path) -> None:
    widths = [8, 80] * 32
    reader = WidthReader()
    list(transcribe(reader, dataset_of(tmp_path, widths), DIGITS, batch=4))
    assert sorted(shape[-1] for shape in reader.shapes) == [8] * 8 + [80] * 8


def test_the_first_lines_come_before_the_last_are_read(tmp_path: Path) -> None:
    reader = WidthReader()
    readings = transcribe(reader, dataset_of(tmp_path, [8] * 64), DIGITS, batch=1)
    assert next(readings).index == 0
    assert len(reader.shapes) <= 32
    readings.close()


def test_broken_images_are_passed_over_and_counted(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [8 + index for index in range(40)], broken=(0, 17, 18, 19, 39))
    readings = list(transcribe(WidthReader(), dataset, DIGITS, batch=1))
    assert [reading.text for reading in readings] == [str(8 + i) for i in range(40) if i not in (0, 17, 18, 19, 39)]
    assert [reading.index for reading in readings] == [i for i in range(40) if i not in (0, 17, 18, 19, 39)]
    assert dataset.skipped[UNREADABLE_IMAGE].count == 5
    assert dataset.skipped[UNREADABLE_IMAGE].first == ("line000", "line017", "line018")


def test_a_batch_that_does_not_fit_is_read_in_parts(tmp_path: Path) -> None:
    widths = list(range(8, 28))
    dataset = dataset_of(tmp_path, widths)
    reader = WidthReader(most=3)
    readings = list(transcribe(reader, dataset, DIGITS, batch=20))
    assert [reading.text for reading in readings] == list(map(str, widths))
    assert {shape[0] for shape in reader.shapes} == {2}
    with pytest.raises(OutOfMemoryError, match="single line of 16 x 8 px"):
        list(transcribe(WidthReader(most=0), dataset, DIGITS, batch=4))


def test_what_cannot_be_told_apart_or_counted_is_refused(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [8, 9])
    with pytest.raises(SettingsError, match="batch of 0"):
        list(transcribe(WidthReader(), dataset, DIGITS, batch=0))
    with pytest.raises(SettingsError, match="text for each line; got 1 for 2"):
        list(transcribe(lambda lines: [Spelling((), 1.0)], dataset, DIGITS))
    twice = LineDataset([*dataset.lines, *dataset.lines], form=LineForm(height=16))
    with pytest.raises(SettingsError, match="2 names for 4 lines"):
        list(transcribe(WidthReader(), twice, DIGITS))
