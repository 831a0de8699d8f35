"""The preflight: each fault is found, with numbers and a cure, and a sound segment gives none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from volumen.errors import SourceNotFoundError
from volumen.events import Finished, Started, Stepped, Warned, result, to_json
from volumen.recipes.check import check
from volumen.recipes.label_survey import CELL, join_surveys, survey_labels
from volumen.recipes.volume_survey import affordable, decoded_voxels
from volumen.settings import Check, Phantom
from volumen.sources.decoded import layer_by_layer
from volumen.sources.open import open_segment
from volumen.sources.synthetic.phantom import make_phantom

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

DEPTH, SIDE = 24, 384


def _sheet(seed: int = 0) -> NDArray[np.uint8]:
    """Make air, then a sheet from layer 12 to 20, then air."""
    draw = np.random.default_rng(seed)
    profile = np.where((np.arange(DEPTH) >= 12) & (np.arange(DEPTH) < 20), 130.0, 50.0)
    noise = draw.normal(0, 15, (DEPTH, SIDE, SIDE))
    return np.clip(profile[:, None, None] + noise, 1, 255).astype(np.uint8)


def _stripes(share: float = 0.25) -> NDArray[np.uint8]:
    """Mark upright stripes of ink, at different places in the left and the right of each 64 px."""
    stripes = np.zeros((SIDE, SIDE), np.uint8)
    for start in range(0, SIDE, 64):
        stripes[:, start : start + round(64 * share)] = 255
    return stripes


def _written(volume: NDArray[np.uint8], ink: NDArray[np.uint8], layers: slice) -> NDArray[np.uint8]:
    """Let ink change the grey of some layers."""
    changed = volume.astype(np.int16)
    changed[layers, ink > 127] += 25
    return np.clip(changed, 0, 255).astype(np.uint8)


class Bench:
    """Saves a volume and its rasters in a folder and checks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, volume: NDArray[Any], **told: Any) -> Mapping[str, Any]:
        np.save(self.folder / "seg.npy", volume)
        given: dict[str, Any] = {"voxel_um": 8.0, "layers": 12, "window": 128}
        for key, value in told.items():
            if isinstance(value, np.ndarray):
                Image.fromarray(value).save(self.folder / f"given_{key}.png")
                given[key] = (str(self.folder / f"given_{key}.png"),)
            else:
                given[key] = value
        return result(check(Check(path=str(self.folder / "seg.npy"), **given)))

    def codes(self, volume: NDArray[Any], **told: Any) -> dict[str, str]:
        return {each["code"]: each["message"] for each in self.check(volume, **told)["findings"]}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantom") / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path))))
    return path


def test_the_default_phantom_gives_no_finding(phantom: Path) -> None:
    events = list(check(Check(path=str(phantom))))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert {type(event) for event in events[1:-1]} == {Stepped}
    steps = [event.done for event in events if isinstance(event, Stepped)]
    assert steps == sorted(steps)
    assert steps[-1] == events[0].total
    told = events[-1].result
    assert told["findings"] == []
    assert (told["depth"], told["shape"], told["voxel_um"]) == (32, [32, 1024, 1024], 7.91)
    assert told["ink"] + told["background"] == pytest.approx(1)
    assert len(told["profile"]) == 32
    assert json.loads(to_json(events[-1]))["result"]["findings"] == []


def test_a_reversed_phantom_is_seen_by_its_ink_and_without_label_by_its_brightness(phantom: Path) -> None:
    found = result(check(Check(path=str(phantom), reverse=True)))["findings"]
    assert [each["code"] for each in found] == ["layers_reversed"]
    assert "ink shows around layer" in found[0]["message"]
    bare = phantom.parent / "bare.npy"
    segment = open_segment(phantom)
    np.save(bare, segment.read(segment.window))
    told = result(check(Check(path=str(bare), voxel_um=8, reverse=True)))
    assert [each["code"] for each in told["findings"]] == ["layers_reversed"]
    assert "Brightness is the only evidence (no label)" in told["findings"][0]["message"]
    assert any("no ink label" in note for note in told["notes"])
    assert result(check(Check(path=str(bare), voxel_um=8)))["findings"] == []


def test_a_sound_sheet_gives_no_finding_whichever_side_is_air(bench: Bench) -> None:
    ink = _stripes()
    assert bench.codes(_written(_sheet(), ink, slice(12, 15)), ink=ink) == {}
    # Ink on the far side outweighs that the brightness speaks for the order.
    assert set(bench.codes(_written(_sheet(), ink, slice(17, 20)), ink=ink)) == {"layers_reversed"}


def test_warnings_are_the_findings_in_words(bench: Bench) -> None:
    bench.check(_sheet())
    events = list(check(Check(path=str(bench.folder / "seg.npy"), layers=40)))
    said = [event.message for event in events if isinstance(event, Warned)]
    assert [each.split(":")[0] for each in said] == ["layers_outside", "voxel_size_unknown"]
    assert "24" in said[0]
    assert "--voxel-um" in said[1]


def test_order_that_cannot_be_seen(bench: Bench) -> None:
    volume = _sheet()
    symmetric = np.concatenate([volume[12:18], volume[:6], volume[0:1], volume[6:12], volume[13:18]])
    found = bench.codes(symmetric)
    assert "layer_order_unknown" in found
    assert "no label" in found["layer_order_unknown"]


def test_flat_profile(bench: Bench) -> None:
    flat = np.random.default_rng(0).integers(50, 150, (DEPTH, SIDE, SIDE)).astype(np.uint8)
    assert set(bench.codes(flat)) == {"flat_profile"}


def test_surface_elsewhere_and_layers_off_the_surface(bench: Bench) -> None:
    found = bench.codes(np.roll(_sheet(), -12, axis=0), layers=(0, 8))
    assert "0:8" in found["surface_elsewhere"]
    assert "layer 12 of 24" in found["layers_off_surface"]
    ink = _stripes()
    found = bench.codes(_written(_sheet(), ink, slice(12, 14)), ink=ink, layers=(8, 13))
    assert "layers_off_ink" not in found
    found = bench.codes(_written(_sheet(), ink, slice(15, 17)), ink=ink, layers=(8, 13))
    assert "15:17" in found["layers_off_ink"]


def test_blank_and_damaged_voxels(bench: Bench) -> None:
    sheet = _sheet()
    assert set(bench.codes(np.zeros_like(sheet))) == {"blank"}
    mostly = sheet.copy()
    mostly[:, :, : SIDE * 3 // 4] = 0
    found = bench.codes(mostly)
    assert set(found) == {"mostly_blank"}
    assert "75%" in found["mostly_blank"]
    # What the mask leaves out is no finding.
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, SIDE * 3 // 4 :] = 255
    assert bench.codes(mostly, mask=mask, window=64) == {}
    holed = sheet.copy()
    holed[9] = 0
    holed[17] = holed[16]
    found = bench.codes(holed)
    assert found["layers_empty"].startswith("Layers 9 are zero")
    assert found["layers_repeated"].startswith("Layers 17 equal")


def test_not_finite_saturated_and_narrow(bench: Bench) -> None:
    sheet = _sheet()
    floats = sheet.astype(np.float32) / 255
    floats[5, 100:110, 100:110] = np.nan
    found = bench.codes(floats)
    assert set(found) == {"unreadable"}
    assert "NaN" in found["unreadable"]
    bright = np.where(sheet > 130, 255, sheet).astype(np.uint8)
    assert set(bench.codes(bright)) == {"saturated"}
    assert set(bench.codes(sheet.astype(np.uint16))) == {"narrow_range"}
    assert bench.codes(sheet.astype(np.uint16) * 257) == {}


def test_labels_that_teach_nothing(bench: Bench) -> None:
    sheet, ink = _sheet(), _stripes()
    sound = _written(sheet, ink, slice(12, 15))
    full, none = np.full_like(ink, 255), np.zeros_like(ink)
    assert set(bench.codes(sheet, ink=none)) == {"label_empty"}
    assert set(bench.codes(sheet, ink=full)) == {"label_all_ink"}
    assert set(bench.codes(sound, ink=ink, supervision=none)) == {"nothing_supervised"}
    assert set(bench.codes(sound, ink=ink, supervision=ink)) == {"no_background"}
    assert "75.0%" in bench.codes(sound, ink=255 - ink)["much_ink"]
    dot = none.copy()
    dot[10:20, 10:20] = 255
    found = bench.codes(sheet, ink=dot)
    assert set(found) == {"little_ink"}
    assert f"{100 / SIDE**2:.3%}" in found["little_ink"]


def test_labels_that_do_not_belong_to_the_volume(bench: Bench) -> None:
    sheet, ink = _sheet(), _stripes()
    large = np.zeros((SIDE + 400, SIDE), np.uint8)
    told = bench.check(sheet, ink=large)
    assert [each["code"] for each in told["findings"]] == ["label_mismatch"]
    assert str(SIDE + 400) in told["findings"][0]["message"]
    assert str(SIDE) in told["findings"][0]["message"]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, : SIDE // 2] = 255
    found = bench.codes(_written(sheet, ink, slice(12, 15)), ink=ink, mask=mask)
    assert set(found) == {"ink_outside_mask"}
    assert "50.0%" in found["ink_outside_mask"]
    holed = _written(sheet, ink, slice(12, 15))
    holed[:, :100] = 0
    assert "ink_on_blank" in bench.codes(holed, ink=ink)


def test_masks_and_windows(bench: Bench) -> None:
    sheet = _sheet()
    none = np.zeros((SIDE, SIDE), np.uint8)
    assert set(bench.codes(sheet, mask=none)) == {"mask_empty"}
    assert "384 x 384" in bench.codes(sheet, window=400)["window_too_large"]
    spot = none.copy()
    spot[64:160, 64:160] = 255
    assert "window_too_large" in bench.codes(sheet, mask=spot, window=256)
    assert "window_too_large" not in bench.codes(sheet, mask=spot, window=96)


def test_a_truncated_chunk_is_a_finding_and_a_missing_volume_an_error(tmp_path: Path) -> None:
    store = tmp_path / "seg.zarr"
    array = zarr.create_array(store, shape=(DEPTH, SIDE, SIDE), chunks=(12, 128, 128), dtype="uint8")
    array[:] = _sheet()
    chunk = store / "c" / "1" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    told = result(check(Check(path=str(store), voxel_um=8, layers=12, window=128)))
    assert [each["code"] for each in told["findings"]] == ["unreadable"]
    assert told["findings"][0]["severity"] == "error"
    with pytest.raises(SourceNotFoundError):
        result(check(Check(path=str(tmp_path / "nothing.zarr"))))


def test_slow_layouts_are_told_from_fast_ones(tmp_path: Path) -> None:
    shape = (21, 512, 6000)
    layer = np.random.default_rng(0).integers(0, 255, shape[1:]).astype(np.uint8)
    cost = {}
    one_strip = {"rowsperstrip": shape[1]}  # over the whole layer, as many exporters write it
    forms = {"lzw": {"compression": "lzw", **one_strip}, "plain": one_strip, "tiled": {"tile": (256, 256)}}
    for name, form in forms.items():
        folder = tmp_path / name
        folder.mkdir()
        for index in range(shape[0]):
            tifffile.imwrite(folder / f"{index:02}.tif", layer, **form)
        segment = open_segment(folder)
        cost[name] = decoded_voxels(segment, (20, 320, 320))
        assert layer_by_layer(segment) == (name == "lzw")
    assert cost["plain"] == 20 * 320 * 320
    assert cost["lzw"] >= 20 * 512 * 6000
    assert cost["tiled"] == 20 * 512 * 768
    found = result(check(Check(path=str(tmp_path / "lzw"), voxel_um=8)))["findings"]
    slow = next(each for each in found if each["code"] == "slow_layout")
    assert "volumen convert" in slow["message"]
    plain = result(check(Check(path=str(tmp_path / "plain"), voxel_um=8)))["findings"]
    # The same voxels, read in another order, lead to the same other findings.
    assert [each for each in found if each is not slow] == plain
    assert result(check(Check(path=str(tmp_path / "tiled"), voxel_um=8)))["findings"] == plain


def test_work_is_bounded_whatever_the_size(tmp_path: Path) -> None:
    for chunks in ((1, 20000, 20000), (16, 128, 128), (65, 1, 20000)):
        store = tmp_path / f"{chunks[0]}.zarr"
        zarr.create_array(store, shape=(65, 20000, 20000), chunks=chunks, dtype="uint8")
        segment = open_segment(store)
        count = affordable(segment, 128, 48)
        assert 2 <= count <= 48
        if chunks == (16, 128, 128):
            assert count == 48
            assert decoded_voxels(segment, (65, 128, 128)) == 80 * 256 * 256


def test_the_survey_of_bands_equals_counting_at_once(phantom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = open_segment(phantom)
    monkeypatch.setattr("volumen.recipes.label_survey._BAND_PIXELS", 100_000)
    bands = list(survey_labels(segment))
    assert len(bands) > 5
    survey = join_surveys(bands)
    ink = segment.raster("ink").read(segment.window) > 0.5
    supervised = segment.supervised(segment.window)
    for found, flags in ((survey.ink, ink), (survey.supervised, supervised), (survey.learnable, ink & supervised)):
        expected = flags.reshape(1024 // CELL, CELL, 1024 // CELL, CELL).sum(axis=(1, 3))
        np.testing.assert_array_equal(found, expected)
    assert survey.share(survey.papyrus, survey.pixels) == pytest.approx(
        float(segment.raster("mask").read(segment.window).mean())
    )
    mask = segment.raster("mask").read(segment.window) > 0.5
    best = max(mask[y : y + 640, x : x + 640].mean() for y in range(0, 385, CELL) for x in range(0, 385, CELL))
    assert survey.most_papyrus(640) == pytest.approx(best)


def test_every_finding_says_numbers_and_a_cure(bench: Bench) -> None:
    told = bench.check(np.roll(_sheet(), -12, axis=0), layers=60, ink=_stripes(), window=500)
    assert len(told["findings"]) >= 3
    for finding in told["findings"]:
        assert finding["severity"] in ("error", "warning")
        assert any(character.isdigit() for character in finding["message"])
        assert finding["message"].endswith(".")
