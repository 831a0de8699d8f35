"""Where to label next: never where it must not be, apart, and where the model is unsure of what is new to it."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from volumen import settings
from volumen.errors import OutputExistsError, SettingsError, SourceNotFoundError
from volumen.events import Warned, result
from volumen.models.checkpoint import save_checkpoint
from volumen.models.unet import build_unet
from volumen.recipes.finding.candidates import Candidates
from volumen.recipes.finding.suggest import suggest
from volumen.recipes.ink_map import InkMap
from volumen.sources.open import open_segment
from volumen.windows import Window

SHAPE = (8, 320, 384)
HELD_OUT = (0, 320, 300, 384)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write a segment with a corner labelled, a hole in its mask, a held-out raster; a model and a map of it."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    voxels = rng.integers(60, 120, SHAPE, np.uint8)
    voxels[:, 160:, :] += 80  # another kind of ground
    np.save(folder / "seg.npy", voxels)
    rasters = {name: np.zeros(SHAPE[1:], np.uint8) for name in ("ink", "supervision", "held_out", "mask", "map")}
    rasters["ink"][20:60, 20:60] = 255
    rasters["supervision"][:128, :128] = 255
    rasters["held_out"][256:, :64] = 255
    rasters["mask"][...] = 255
    rasters["mask"][100:140, 200:240] = 0
    rasters["map"][...] = 2
    rasters["map"][:, 128:300] = 100
    for name, values in rasters.items():
        Image.fromarray(values).save(folder / f"{name}.png")
    torch.manual_seed(0)
    header = {
        "layer_count": 4,
        "surface_offset": -2,
        "normalization": {"kind": "divide"},
        "held_out": {"seg": [list(HELD_OUT)]},
    }
    save_checkpoint(folder / "model.safetensors", build_unet("resnet18", 4), header)
    return folder


def chosen(data, out, **changes):
    labels = {
        "ink": (str(data / "ink.png"),),
        "supervision": (str(data / "supervision.png"),),
        "held_out_mask": (str(data / "held_out.png"),),
        "mask": (str(data / "mask.png"),),
    }
    fields = {"n": 6, "window": 32, "device": "cpu", "prediction": str(data / "map.png"), **labels, **changes}
    return settings.Suggest(
        checkpoint=str(data / "model.safetensors"), segment=str(data / "seg.npy"), out=str(out), **fields
    )


def overlap(box, other):
    return min(box[1], other[1]) > max(box[0], other[0]) and min(box[3], other[3]) > max(box[2], other[2])


@pytest.fixture(scope="module")
def told(data):
    return result(suggest(chosen(data, data / "out", n=300)))


def test_all_that_is_allowed_is_suggested_and_nothing_else(told):
    boxes = [place["box"] for place in told["suggestions"]]
    assert len(boxes) > 20
    for number, box in enumerate(boxes):
        assert not overlap(box, HELD_OUT)
        assert not overlap(box, (256, 320, 0, 64))  # the segment's own raster
        assert not overlap(box, (0, 128, 0, 128))  # labelled
        assert not any(overlap(box, other) for other in boxes[:number])
    # no window that may be suggested is left: each that is not touches one of these or a hole in the papyrus
    for y in range(0, 289, 16):
        for x in range(0, 353, 16):
            box = (y, y + 32, x, x + 32)
            forbidden = [HELD_OUT, (256, 320, 0, 64), (0, 128, 0, 128), (100, 140, 200, 240), *boxes]
            assert any(overlap(box, other) for other in forbidden)


def test_sure_windows_come_after_unsure_ones(told):
    doubts = [place["scores"]["uncertainty"] for place in told["suggestions"]]
    first = [place["box"] for place in told["suggestions"][:8]]
    assert min(doubts[:8]) > 0.5
    assert min(doubts) < 0.1
    assert all(x0 >= 112 and x1 <= 316 for _, _, x0, x1 in first)


def test_what_is_unlike_the_label_comes_first(data, tmp_path):
    """Everywhere as unsure: the ground that holds no label is suggested before that which does."""
    Image.fromarray(np.full(SHAPE[1:], 127, np.uint8)).save(tmp_path / "map.png")
    told = result(suggest(chosen(data, tmp_path / "out", prediction=str(tmp_path / "map.png"), n=3)))
    first = told["suggestions"][0]
    assert first["box"][1] > 160
    assert first["scores"]["novelty"] > 0
    alone = result(suggest(chosen(data, tmp_path / "alone", prediction=str(tmp_path / "map.png"), n=3, novelty=0)))
    assert alone["suggestions"][0]["box"][0] == 0  # all alike: the first that is free


def test_the_same_again_gives_the_same_and_resume_reuses_what_was_computed(data, told, tmp_path):
    with pytest.raises(OutputExistsError, match="--overwrite"):
        result(suggest(chosen(data, data / "out", n=300)))
    before = (data / "out" / "suggestions.csv").read_bytes()
    vectors = next((data / "out").rglob("vectors.npy"))
    stamp = vectors.stat().st_mtime_ns
    result(suggest(chosen(data, data / "out", n=300, resume=True)))
    assert (data / "out" / "suggestions.csv").read_bytes() == before
    assert vectors.stat().st_mtime_ns == stamp
    rows = list(csv.DictReader(before.decode().splitlines()))
    collection = json.loads((data / "out" / "suggestions.json").read_text())
    assert len(rows) == len(collection["features"]) == len(told["suggestions"])
    assert [feature["properties"]["rank"] for feature in collection["features"]] == list(range(1, len(rows) + 1))


def test_the_map_is_made_where_none_is_given(data, tmp_path):
    events = list(suggest(chosen(data, tmp_path / "out", prediction=None, n=2, region="128:256,128:256")))
    assert (tmp_path / "out" / "ink.zarr").exists()
    boxes = [place["box"] for place in events[-1].result["suggestions"]]
    assert len(boxes) == 2
    assert all(y0 >= 128 and y1 <= 256 and x0 >= 128 and x1 <= 256 for y0, y1, x0, x1 in boxes)


def test_where_no_window_is_labelled_the_first_has_no_novelty(data, tmp_path):
    result(suggest(chosen(data, tmp_path / "out", region="128:256,128:256", n=2)))
    first, second = csv.DictReader((tmp_path / "out" / "suggestions.csv").read_text().splitlines())
    assert (first["novelty"], first["score"]) == ("", first["uncertainty"])
    assert float(second["novelty"]) > 0


def test_fewer_than_asked_for_are_said_to_be_all(data, tmp_path):
    events = list(suggest(chosen(data, tmp_path / "out", n=50, region="128:192,128:192")))
    assert any(isinstance(event, Warned) and "left" in event.message for event in events)
    assert len(events[-1].result["suggestions"]) == 4


def test_nothing_left_is_an_error(data, tmp_path):
    with pytest.raises(SettingsError, match="left to suggest"):
        result(suggest(chosen(data, tmp_path / "out", region="0:128,0:128")))


def test_a_mistake_replaces_nothing(data, tmp_path):
    (tmp_path / "suggestions.csv").write_text("former")
    with pytest.raises(SourceNotFoundError):
        result(suggest(chosen(data, tmp_path, prediction=str(data / "gone.png"), overwrite=True)))
    assert (tmp_path / "suggestions.csv").read_text() == "former"


def test_the_map_that_is_given_is_not_cleared_away(data, tmp_path):
    result(suggest(chosen(data, tmp_path / "out", prediction=None)))
    ink = tmp_path / "out" / "ink.zarr"
    former = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    with pytest.raises(OutputExistsError, match="would be cleared before it is read"):
        result(suggest(chosen(data, tmp_path / "out", prediction=str(ink), overwrite=True)))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == former


def test_windows_are_counted_as_pixel_by_pixel(data):
    segment = open_segment(
        data / "seg.npy",
        **{name: data / f"{name}.png" for name in ("ink", "supervision", "held_out", "mask")},
    )
    rng = np.random.default_rng(3)
    levels = rng.integers(0, 256, SHAPE[1:], np.uint8)
    Image.fromarray(levels).save(data / "noise.png")
    corners = np.array([(y, x) for y in (0, 48, 96, 250) for x in (0, 56, 190, 280, 352)], np.int32)
    got = Candidates.of(
        segment,
        InkMap.open(str(data / "noise.png")).on(segment),
        corners,
        32,
        held_out=(Window((0, 1), HELD_OUT[:2], HELD_OUT[2:]),),
        kind="margin",
    )
    mask = np.asarray(Image.open(data / "mask.png")) > 0
    painted = np.asarray(Image.open(data / "supervision.png")) > 0
    apart = np.asarray(Image.open(data / "held_out.png")) > 0
    apart[HELD_OUT[0] : HELD_OUT[1], HELD_OUT[2] : HELD_OUT[3]] = True
    for number, (y, x) in enumerate(corners):
        here = (slice(y, y + 32), slice(x, x + 32))
        margins = 1 - np.abs(2 * (levels[here] / 255) - 1)
        assert got.doubt[number] == pytest.approx(margins[mask[here]].mean())
        assert got.free[number] == (not painted[here].any() and not apart[here].any())
        assert got.labelled[number] == (painted[here].mean() >= 0.5 and not apart[here].any())
