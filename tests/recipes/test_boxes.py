"""Boxes of maps on disk: what predict writes and what people have, by blocks as at once."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from test_recipes_predict_photo import REACH, photograph, predicted, write_checkpoint

from volumen.errors import OutputExistsError, SourceNotFoundError
from volumen.evaluation.boxes import find_boxes
from volumen.events import Saved, Stepped, Warned, result
from volumen.recipes import boxes as room
from volumen.recipes.boxes import boxes
from volumen.settings import Boxes
from volumen.sources.pyramids.probability_map import create_map

if TYPE_CHECKING:
    from pathlib import Path


def draw(seed: int = 0, height: int = 150, width: int = 210) -> np.ndarray:
    """Blobs of many sizes, some of them across the blocks' edges."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin(y / 9.1) * np.sin(x / 7.3 + y / 40)
    noise = np.random.default_rng(seed).random((height, width))
    return np.rint(255 * np.clip(0.5 + 0.5 * wave - 0.3 * noise, 0, 1)).astype(np.uint8)


def write_map(path: Path, level: np.ndarray, *, finish: bool = True, **provenance: float) -> str:
    created = create_map(path, shape=level.shape, settings={"tile": 64}, provenance=provenance, block=64)
    for block in created.blocks(created.window):
        if finish or block.x[0] == 0:
            created.write(block, level[block.yx])
    if finish:
        created.finish()
    return str(path)


def listed(path: Path) -> list[tuple[int, ...]]:
    return [
        tuple(box[name] for name in ("y0", "y1", "x0", "x1", "area")) for box in json.loads(path.read_text())["boxes"]
    ]


def test_boxes_of_a_zarr_read_by_blocks_are_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level = draw()
    source = write_map(tmp_path / "map.zarr", level)
    expected = find_boxes(level, threshold=0.5, min_area=16, gap=1)
    assert len(expected) > 20
    monkeypatch.setattr(room, "_SIDE", 64)
    events = list(boxes(Boxes(prediction=source, out=str(tmp_path / "made" / "boxes.json"), gap=1)))
    assert listed(tmp_path / "made" / "boxes.json") == [(b.y0, b.y1, b.x0, b.x1, b.area) for b in expected]
    assert [event.total for event in events if isinstance(event, Stepped)] == [12] * 12
    assert [event.what for event in events if isinstance(event, Saved)] == ["boxes"]
    assert events[-1].result["boxes"] == len(expected)
    head = json.loads((tmp_path / "made" / "boxes.json").read_text())
    assert (head["height"], head["width"], head["gap"], head["prediction"]) == (150, 210, 1, source)


def test_a_png_gives_the_same_in_csv(tmp_path: Path) -> None:
    level = draw(1)
    Image.fromarray(level).save(tmp_path / "map.png")
    chosen = Boxes(prediction=str(tmp_path / "map.png"), out=str(tmp_path / "boxes.csv"), threshold=0.4, min_area=3)
    assert result(boxes(chosen))["threshold"] == 0.4
    with (tmp_path / "boxes.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = find_boxes(level, threshold=0.4, min_area=3)
    assert [tuple(int(row[name]) for name in ("y0", "y1", "x0", "x1", "area")) for row in rows] == [
        (b.y0, b.y1, b.x0, b.x1, b.area) for b in expected
    ]
    assert [float(row["score"]) for row in rows] == pytest.approx([box.score for box in expected])


def test_the_maps_own_threshold_is_taken_where_none_is_given(tmp_path: Path) -> None:
    source = write_map(tmp_path / "map.zarr", draw(), threshold=0.7)
    out = tmp_path / "boxes.json"
    assert result(boxes(Boxes(prediction=source, out=str(out))))["threshold"] == 0.7
    assert listed(out) == [(b.y0, b.y1, b.x0, b.x1, b.area) for b in find_boxes(draw(), threshold=0.7, min_area=16)]
    given = Boxes(prediction=source, out=str(out), threshold=0.5, overwrite=True)
    assert result(boxes(given))["threshold"] == 0.5


def test_an_empty_map_has_no_boxes(tmp_path: Path) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "map.png")
    out = tmp_path / "boxes.json"
    assert result(boxes(Boxes(prediction=str(tmp_path / "map.png"), out=str(out))))["boxes"] == 0
    assert json.loads(out.read_text())["boxes"] == []


def test_an_unfinished_map_says_so(tmp_path: Path) -> None:
    source = write_map(tmp_path / "map.zarr", draw(), finish=False)
    warned = [e.message for e in boxes(Boxes(prediction=source, out=str(tmp_path / "b.csv"))) if isinstance(e, Warned)]
    assert len(warned) == 1
    assert "not finished" in warned[0]


def test_a_photographs_map_has_the_boxes_of_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "a.safetensors", threshold=0.45)
    Image.fromarray(photograph()).save(tmp_path / "photo.png")
    level = predicted(tmp_path, tmp_path / "photo.png", "map.zarr", tile=192, tiling="halo", overlap=REACH)
    monkeypatch.setattr(room, "_SIDE", 256)
    chosen = Boxes(prediction=str(tmp_path / "map.zarr"), out=str(tmp_path / "boxes.json"), min_area=4)
    assert result(boxes(chosen))["threshold"] == 0.45
    expected = find_boxes(level.astype(np.uint8), threshold=0.45, min_area=4)
    assert len(expected) > 1
    assert listed(tmp_path / "boxes.json") == [(b.y0, b.y1, b.x0, b.x1, b.area) for b in expected]


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    Image.fromarray(draw()).save(tmp_path / "map.png")
    (tmp_path / "boxes.json").write_text("mine")
    with pytest.raises(OutputExistsError, match="already there"):
        list(boxes(Boxes(prediction=str(tmp_path / "map.png"), out=str(tmp_path / "boxes.json"))))
    assert (tmp_path / "boxes.json").read_text() == "mine"
    with pytest.raises(SourceNotFoundError):
        list(boxes(Boxes(prediction=str(tmp_path / "none.png"), out=str(tmp_path / "other.json"))))
    with pytest.raises(ValidationError, match="json or"):
        Boxes(prediction="map.png", out="boxes.txt")
