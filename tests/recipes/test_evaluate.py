"""Evaluate: three scopes against scores counted by hand from the same files."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from volumen.errors import LabelError, SettingsError, SourceNotFoundError
from volumen.evaluation.masks import score_pixels
from volumen.events import Event, Finished, Saved, Scored, Warned, result
from volumen.recipes import evaluate as room
from volumen.recipes.evaluate import evaluate
from volumen.settings import Evaluate
from volumen.sources.pyramids.probability_map import create_map
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.windows import Window

HEIGHT, WIDTH = 300, 420
HELD_OUT = (0, 300, 300, 420)


def save(path: Path, values: np.ndarray) -> None:
    Image.fromarray(np.rint(values * 255).astype(np.uint8)).save(path)


def strokes(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Ink as soft-edged bars over the left two thirds of each 60 px row, none in the last rows."""
    y, x = np.mgrid[:height, :width]
    bars = ((x // 15) % 3 == 0) & ((y // 20) % 3 == 1) & (y < height - 100)
    return np.where(bars, 1.0, 0.0) * np.where(x % 15 == 0, 0.4, 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A segment with soft ink, a supervision that leaves out a stripe, and a mask that leaves out a corner."""
    np.save(tmp_path / "paper.npy", np.zeros((5, HEIGHT, WIDTH), np.uint8))
    supervision = np.ones((HEIGHT, WIDTH))
    supervision[:, 100:120] = 0
    mask = np.ones((HEIGHT, WIDTH))
    mask[-50:, :50] = 0
    save(tmp_path / "paper_inklabels.png", strokes())
    save(tmp_path / "paper_supervision_mask.png", supervision)
    save(tmp_path / "paper_mask.png", mask)
    return tmp_path


def prediction(seed: int = 0, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.clip(random.normal(90 + 50 * (strokes(height, width) > 0.5), 40), 0, 255).astype(np.uint8)


def write_map(path: Path, level: np.ndarray, **attributes: Any) -> str:
    pyramid = create_pyramid(path, shape=level.shape, dtype=np.uint8, chunks=(64, 64), axes="yx", attributes=attributes)
    pyramid.write(Window((0, 1), (0, level.shape[0]), (0, level.shape[1])), level)
    return str(path)


def scored(folder: Path) -> np.ndarray:
    where = np.ones((HEIGHT, WIDTH), bool)
    where[:, 100:120] = False
    where[-50:, :50] = False
    return where


def settings(folder: Path, **more: Any) -> Evaluate:
    given = {"prediction": str(folder / "ink.zarr"), "segment": str(folder / "paper.npy"), "block": 20, "tile": 60}
    return Evaluate(**(given | {"resamples": 50} | more))


def ranked(level: np.ndarray, where: np.ndarray) -> float:
    return float(metrics.roc_auc_score(strokes()[where] > 0.5, level[where]))


def test_each_scope_scores_its_own_pixels(folder: Path) -> None:
    level = prediction()
    write_map(folder / "ink.zarr", level, segment="paper", held_out={"paper": [list(HELD_OUT)]})
    scores = result(evaluate(settings(folder)))

    everywhere, right, tiles = scored(folder), np.zeros((HEIGHT, WIDTH), bool), np.zeros((HEIGHT, WIDTH), bool)
    right[:, 300:] = True
    for top in range(0, 300, 60):
        for left in range(0, 420, 60):
            box = (slice(top, top + 60), slice(left, left + 60))
            tiles[box] = (strokes()[box] > 0.5).mean() >= 0.05
    assert 0 < tiles.mean() < 1
    for scope, where in {"held_out": right, "whole_mask": everywhere, "ink_tiles": tiles}.items():
        found = scores[scope]
        assert found["pixels"] == (where & everywhere).sum()
        assert found["auc"] == pytest.approx(ranked(level, where & everywhere))
        assert found["auc_low"] < found["auc"] < found["auc_high"]
        assert set(room.SCORES) <= set(found)
    assert scores["auc"] == scores["held_out"]["auc"]
    assert scores["threshold_from"] == "held_out"
    at_threshold = score_pixels(level, strokes(), everywhere, threshold=scores["threshold"])
    for name, value in at_threshold.items():
        assert scores["whole_mask"][name] == pytest.approx(value), name


def test_the_region_given_wins_over_the_raster_and_the_raster_over_the_record(folder: Path) -> None:
    level = prediction()
    write_map(folder / "ink.zarr", level, held_out={"paper": [[0, 300, 300, 420]], "other": [[0, 9, 0, 9]]})
    everywhere = scored(folder)

    def pixels(**more: Any) -> float:
        return float(result(evaluate(settings(folder, **more)))["held_out"]["pixels"])

    assert pixels() == everywhere[:, 300:].sum()
    raster = np.zeros((HEIGHT, WIDTH))
    raster[:200, 140:] = 1
    save(folder / "paper_validation_mask.png", raster)
    assert pixels() == everywhere[:200, 140:].sum()
    assert pixels(region="0:100,200:420") == everywhere[:100, 200:].sum()


def test_without_held_out_pixels_it_says_so_and_leads_with_the_whole_mask(folder: Path) -> None:
    save(folder / "ink.png", prediction() / 255)
    events = list(evaluate(settings(folder, prediction=str(folder / "ink.png"))))
    scores = result(events)
    assert scores["held_out"] is None
    assert scores["auc"] == scores["whole_mask"]["auc"]
    assert scores["threshold_from"] == "whole_mask"
    assert any("held-out" in event.message for event in events if isinstance(event, Warned))
    assert [event.step for event in events if isinstance(event, Scored)] == [0, 0]


def test_pixels_that_were_never_predicted_are_not_scored(folder: Path) -> None:
    level = prediction()
    level[:, :205] = 0
    level[170:] = 255
    write_map(folder / "ink.zarr", level, region=[0, 170, 205, 420])
    scores = result(evaluate(settings(folder)))
    where = np.zeros((HEIGHT, WIDTH), bool)
    where[:170, 205:] = True
    assert scores["whole_mask"]["pixels"] == where.sum()
    assert scores["auc"] == pytest.approx(ranked(level, where))


@pytest.mark.parametrize("pixels", [1, 20_000, 50_000])
def test_the_height_of_the_bands_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    write_map(folder / "ink.zarr", prediction(), held_out={"paper": [[30, 270, 210, 410]]})
    expected = result(evaluate(settings(folder)))
    monkeypatch.setattr(room, "_BAND_PIXELS", pixels)
    found = result(evaluate(settings(folder)))
    for scope in room.SCOPES:
        assert found[scope] == pytest.approx(expected[scope]), scope


def test_an_unfinished_prediction_counts_where_it_is_done(folder: Path) -> None:
    level = prediction()
    unfinished = create_map(folder / "ink.zarr", shape=level.shape, settings={"region": [0, 300, 100, 420]}, block=64)
    done = list(unfinished.blocks(unfinished.window))[1:12]
    where = np.zeros((HEIGHT, WIDTH), bool)
    for block in done:
        unfinished.write(block, level[block.yx])
        where[block.yx] = True
    where[:, :100] = False
    events = list(evaluate(settings(folder)))
    assert any("not finished" in event.message for event in events if isinstance(event, Warned))
    assert result(events)["whole_mask"]["pixels"] == (where & scored(folder)).sum()
    assert result(events)["auc"] == pytest.approx(ranked(level, where & scored(folder)))


def test_the_real_label_has_118_ink_tiles(tmp_path: Path) -> None:
    label = Path(__file__).parents[3] / "shared" / "data" / "ink_labels" / "20230827161847_inklabels.png"
    if not label.exists():
        pytest.skip(f"{label} is not there")
    np.lib.format.open_memmap(tmp_path / "paper.npy", "w+", np.uint8, (1, 9216, 5120)).flush()
    np.lib.format.open_memmap(tmp_path / "ink.npy", "w+", np.uint8, (9216, 5120)).flush()
    chosen = Evaluate(
        prediction=str(tmp_path / "ink.npy"), segment=str(tmp_path / "paper.npy"), ink=(str(label),), resamples=1
    )
    # counted by pixels above one half; 448 whole tiles, and those at the bottom edge are left out
    assert result(evaluate(chosen))["ink_tiles"]["pixels"] == 118 * 320 * 320


def test_tiff_png_and_zarr_of_one_map_score_alike(folder: Path) -> None:
    level = prediction()
    write_map(folder / "ink.zarr", level)
    padded = np.zeros((512, 512), np.uint8)
    padded[:HEIGHT, :WIDTH] = level
    Image.fromarray(padded).save(folder / "padded.png")
    Image.fromarray(level).save(folder / "ink.tif")
    expected = result(evaluate(settings(folder)))
    for name in ("ink.tif", "padded.png"):
        found = result(evaluate(settings(folder, prediction=str(folder / name))))
        assert found["whole_mask"] == expected["whole_mask"]


def test_scores_are_written_as_json_with_null_for_what_is_undefined(folder: Path) -> None:
    write_map(folder / "ink.zarr", prediction())
    out = folder / "made" / "scores.json"
    # the last hundred rows hold no ink
    events: list[Event] = list(evaluate(settings(folder, region="210:300,60:420", out=str(out))))
    written = json.loads(out.read_text())
    assert written["held_out"]["auc"] is None
    assert written["held_out"]["auc_low"] is None
    assert written["held_out"]["bce"] > 0
    assert written["threshold_from"] == "whole_mask"
    assert written["whole_mask"]["auc"] == pytest.approx(result(events)["whole_mask"]["auc"])
    assert sum(written["histograms"]["whole_mask"]["ink"]) == (strokes()[scored(folder)] > 0.5).sum()
    assert any(isinstance(event, Saved) and event.path == str(out) for event in events)
    assert isinstance(events[-1], Finished)
    assert [path.name for path in out.parent.iterdir()] == ["scores.json"]


def test_a_perfect_map_scores_one_and_its_reverse_zero(folder: Path) -> None:
    perfect = (strokes() > 0.5).astype(np.uint8) * 255
    write_map(folder / "ink.zarr", perfect)
    write_map(folder / "wrong.zarr", 255 - perfect)
    best = result(evaluate(settings(folder)))["whole_mask"]
    assert [best[name] for name in ("auc", "dice", "iou", "f05", "auc_low")] == [1.0] * 5
    worst = result(evaluate(settings(folder, prediction=str(folder / "wrong.zarr"))))
    assert worst["auc"] == 0.0


def test_a_map_of_another_segment_is_refused_by_name(folder: Path) -> None:
    write_map(folder / "ink.zarr", prediction(height=HEIGHT - 8))
    with pytest.raises(LabelError, match=r"292 x 420.*paper\.npy.*300 x 420"):
        list(evaluate(settings(folder)))


@pytest.mark.parametrize(("value", "lacking"), [(0.0, "ink"), (1.0, "background")])
def test_a_label_of_one_class_is_refused(folder: Path, value: float, lacking: str) -> None:
    write_map(folder / "ink.zarr", prediction())
    save(folder / "paper_inklabels.png", np.full((HEIGHT, WIDTH), value))
    with pytest.raises(LabelError, match=f"no {lacking} among"):
        list(evaluate(settings(folder, out=str(folder / "scores.json"))))
    assert not (folder / "scores.json").exists()


def test_a_missing_label_and_a_missing_map_are_errors(folder: Path) -> None:
    write_map(folder / "ink.zarr", prediction())
    with pytest.raises(SourceNotFoundError):
        list(evaluate(settings(folder, prediction=str(folder / "none.zarr"))))
    with pytest.raises(LabelError, match="Nothing was predicted"):
        list(evaluate(settings(folder, region="1000:1100,0:10")))
    with pytest.raises(SettingsError, match="Expected a region inside"):
        list(evaluate(settings(folder, region="0:1100,0:10")))
    (folder / "paper_inklabels.png").unlink()
    with pytest.raises(LabelError, match="ink"):
        list(evaluate(settings(folder)))


def test_memory_does_not_grow_with_the_segment(tmp_path: Path) -> None:
    """Twice the height, the same peak: only bands are held, once the label itself is decoded."""

    def peak(height: int) -> int:
        folder = tmp_path / str(height)
        folder.mkdir()
        width = 2000
        store = np.lib.format.open_memmap(folder / "paper.npy", "w+", np.uint8, (3, height, width))
        del store
        ink = np.zeros((height, width), np.uint8)
        ink[::7] = 255
        pyramid = create_pyramid(
            folder / "ink_label.zarr", shape=ink.shape, dtype=np.uint8, chunks=(512, 512), axes="yx"
        )
        pyramid.write(Window((0, 1), (0, height), (0, width)), ink)
        chosen = settings(
            folder, prediction=str(folder / "ink_label.zarr"), ink=(str(folder / "ink_label.zarr"),), block=128
        )
        tracemalloc.start()
        list(evaluate(chosen))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(8192) < 1.15 * peak(4096)
