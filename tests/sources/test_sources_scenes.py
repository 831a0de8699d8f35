"""Rendered scenes: the corners that are listed are those of the letters that are drawn; one seed draws one scene."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from volumen.errors import SettingsError, SourceNotFoundError
from volumen.sources.photos.filled import filled
from volumen.sources.photos.read_photos import read_photos
from volumen.sources.synthetic.scene_words import OTHERS, WORDS
from volumen.sources.synthetic.scenes import Scenery, write_scenes
from volumen.sources.synthetic.sign import Sign, flat_size, homography, through

if TYPE_CHECKING:
    from pathlib import Path

QUAD = np.array([[30.0, 40.0], [170.0, 25.0], [185.0, 95.0], [20.0, 80.0]])


@pytest.fixture
def scenery(tmp_path: Path) -> Scenery:
    """Small scenes over noise, in Pillow's own font, which draws Chinese as empty boxes."""
    pixels = np.random.default_rng(0).integers(90, 110, (120, 160, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "street.png")
    return Scenery(photos=(str(tmp_path / "street.png"),), fonts=("",), size=160, seed=3)


def sign(**other: Any) -> Sign:
    plain = {"text": "MBK", "font": "", "size": 40, "vertical": False, "ink": (255, 255, 255), "panel": (0, 0, 0)}
    return Sign(**{**plain, "opacity": 1.0, "stroke": 0, "corners": QUAD, **other})


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("panel", [(0, 0, 0), None])
def test_the_ink_of_each_letter_lies_within_its_corners(vertical: bool, panel: tuple[int, int, int] | None) -> None:
    black = Image.new("RGB", (200, 120))
    shown = sign(vertical=vertical, panel=panel)
    ink = np.asarray(shown.over(black))[..., 0] > 60
    boxes = [filled([[tuple(corner) for corner in corners]], ink.shape) for _, corners in shown.characters()]
    assert [letter for letter, _ in shown.characters()] == list("MBK")
    assert ink.sum() > 300
    assert not (ink & ~ndimage.binary_dilation(np.any(boxes, axis=0))).any()
    for box in boxes:
        ys, xs = np.nonzero(ink & box)
        tight = (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
        assert tight > 0.5 * box.sum(), "a box should fit its letter"


def test_all_that_is_written_lies_within_the_whole() -> None:
    shown = sign(text="MB K")
    whole = filled([[tuple(corner) for corner in shown.whole]], (120, 200))
    boxes = filled([[tuple(corner) for corner in corners] for _, corners in shown.characters()], (120, 200))
    assert len(shown.characters()) == 3
    assert not (boxes & ~ndimage.binary_dilation(whole)).any()
    assert whole.sum() < 1.5 * boxes.sum()


def test_a_homography_takes_corners_to_corners_and_lines_to_lines() -> None:
    size = flat_size(sign())
    flat = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], dtype=float)
    seen = homography(flat, QUAD)
    np.testing.assert_allclose(through(seen, flat), QUAD, atol=1e-9)
    line = through(seen, np.linspace([0.0, 5.0], [size[0], 5.0], 7))
    along = line[1:] - line[0]
    np.testing.assert_allclose(along[:, 0] * along[-1, 1] - along[:, 1] * along[-1, 0], 0, atol=1e-8)


def test_a_scene_is_drawn_by_its_seed_and_number_alone(scenery: Scenery) -> None:
    first, second = scenery.draw(4), scenery.draw(4)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert not np.array_equal(first[0], scenery.draw(5)[0])
    assert not np.array_equal(first[0], replace(scenery, seed=4).draw(4)[0])


def test_signs_do_not_lie_on_each_other_and_are_mostly_seen(scenery: Scenery) -> None:
    busy = replace(scenery, signs=6, illegible=1.0)
    ignored = 0
    for number in range(12):
        _, known = busy.draw(number)
        texts = [[character["polygon"] for character in text] for text in known["annotations"]]
        texts += [[region["polygon"]] for region in known["ignore"]]
        ignored += len(known["ignore"])
        fields = [filled(polygons, (160, 160)) for polygons in texts]
        assert fields
        assert np.sum(fields, axis=0).max() <= 1
        for polygons, field in zip(texts, fields, strict=True):
            whole = sum(filled([np.add(polygon, 160).tolist()], (480, 480)).sum() for polygon in polygons)
            assert field.sum() > 0.5 * whole
    assert ignored > 6


def test_a_list_of_scenes_is_read_as_photographs(scenery: Scenery, tmp_path: Path) -> None:
    mixed = replace(scenery, words=("中国", "大学"), others=("BUS",), illegible=1.0)
    lines = list(write_scenes(mixed, tmp_path / "scenes", count=10))
    texts = ["".join(character["text"] for character in text) for line in lines for text in line["annotations"]]
    assert {*texts} == {"中国", "大学", "BUS"}
    written = (tmp_path / "scenes" / "scenes.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in written] == lines

    photos = read_photos(tmp_path / "scenes").photos
    assert [photo.size for photo in photos] == [(160, 160)] * 10
    for photo, line in zip(photos, lines, strict=True):
        chinese = [c for text in line["annotations"] for c in text if c["is_chinese"]]
        assert photo.polygons is not None
        assert [character.text for character in photo.polygons.characters] == [c["text"] for c in chinese]
        marked = filled([c["polygon"] for c in chinese], (160, 160))
        np.testing.assert_array_equal(photo.target(), marked & photo.supervision())
        np.testing.assert_array_equal(
            photo.supervision(), ~filled([region["polygon"] for region in line["ignore"]], (160, 160))
        )


def test_words_are_chinese_and_others_are_not() -> None:
    assert all("\u4e00" <= character <= "\u9fff" for word in WORDS for character in word)
    assert all(ord(character) < 0x3000 for word in OTHERS for character in word)
    assert sum("中" in word for word in WORDS) > max(
        sum(other in word for word in WORDS) for other in {*"".join(WORDS)} - {"中"}
    )


def test_what_scenes_lack_is_told(scenery: Scenery) -> None:
    with pytest.raises(SettingsError, match="photographs"):
        replace(scenery, photos=())
    with pytest.raises(SettingsError, match="64 px"):
        replace(scenery, size=32)
    with pytest.raises(SourceNotFoundError):
        replace(scenery, photos=("nowhere.png",)).draw(0)
