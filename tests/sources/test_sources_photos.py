"""Photographs: polygons filled to their exact area, every form of list read alike, and what cannot be used counted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from volumen.errors import LabelError, SourceError, SourceNotFoundError
from volumen.sources.location import Location
from volumen.sources.outlines import area_of
from volumen.sources.photos.filled import filled, polygon_fault, reaches_out
from volumen.sources.photos.photo_image import open_photo, read_mask
from volumen.sources.photos.read_photos import Photo, read_photos

SHARED = Path(__file__).parents[3] / "shared/data"

SQUARE = ((2.0, 1.0), (8.0, 1.0), (8.0, 5.0), (2.0, 5.0))


def write_image(path: Path, size: tuple[int, int] = (20, 30), seed: int = 0, **options: Any) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def inside(x: float, y: float, corners: tuple[tuple[float, float], ...]) -> bool:
    """Count the edges that a ray to the left of a point crosses, one by one."""
    odd = False
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
            odd = not odd
    return odd


corner = st.tuples(st.integers(-12, 60), st.integers(-12, 60)).map(lambda c: (c[0] / 4, c[1] / 4))


@given(st.lists(corner, min_size=3, max_size=8).map(tuple))
def test_a_pixel_is_filled_where_its_centre_is_inside(corners: tuple[tuple[float, float], ...]) -> None:
    expected = [[inside(x + 0.5, y + 0.5, corners) for x in range(11)] for y in range(9)]
    np.testing.assert_array_equal(filled([corners], (9, 11)), expected)


@given(st.floats(0.5, 30), st.floats(0.5, 30), st.floats(0, math.pi), st.floats(0, 1), st.floats(0, 1))
def test_boxes_fill_their_area_on_average_over_where_pixels_begin(
    width: float, height: float, turn: float, left: float, top: float
) -> None:
    cos, sin = math.cos(turn), math.sin(turn)
    box = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    corners = tuple((32 + left + x * cos - y * sin, 32 + top + x * sin + y * cos) for x, y in box)
    assert area_of(corners) == pytest.approx(width * height)
    shifts = (np.arange(8) + 0.5) / 8
    counts = [filled([tuple((x + a, y + b) for x, y in corners)], (70, 70)).sum() for a in shifts for b in shifts]
    # 64 shifts are an 8 times finer grid, of which the boundary touches about 8 · perimeter cells of 1/64 px
    assert abs(np.mean(counts) - width * height) <= (8 * 2 * (width + height) + 16) / 64


def test_whole_boxes_fill_exactly_their_area_and_overlaps_count_once() -> None:
    assert filled([SQUARE], (10, 10)).sum() == area_of(SQUARE) == 24
    assert filled([SQUARE, SQUARE], (10, 10)).sum() == 24
    half = ((5.0, 1.0), (15.0, 1.0), (15.0, 5.0), (5.0, 5.0))
    assert filled([half], (10, 10)).sum() == 20  # what reaches out is cut off
    assert reaches_out(half, (10, 10))
    assert not reaches_out(((0, 0), (10, 0), (10, 10), (0, 10)), (10, 10))


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        (((1, 1), (4, 4)), "polygon of fewer than three corners"),
        ((), "polygon of fewer than three corners"),
        (((1, 1), (4, 4), (7, 7)), "polygon without area"),
        (((1, 1), (float("nan"), 4), (7, 2)), "polygon with a corner that is no number"),
        (((1, 1), (float("inf"), 4), (7, 2)), "polygon with a corner that is no number"),
        (((-5, 1), (0, 1), (0, 4)), "polygon wholly outside the image"),
        (((10, 1), (15, 1), (15, 4)), "polygon wholly outside the image"),
        (((1, 1), (1e9, 1), (1, 4)), "polygon wholly outside the image"),
        (((-5, 1), (0.5, 1), (0.5, 4)), ""),
        (((1, 1), (1.5, 1), (1.5, 1.5)), ""),
    ],
)
def test_polygons_that_mark_nothing_say_why(corners: Any, reason: str) -> None:
    assert polygon_fault(corners, (10, 10)) == reason


def ctw(path: Path, *photos: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(photo) for photo in photos) + "\n", encoding="utf-8")
    return path


def character(polygon: Any, text: str = "中", **more: Any) -> dict[str, Any]:
    return {"polygon": polygon, "text": text, "is_chinese": True, **more}


def test_ctw_marks_characters_but_not_where_they_are_to_be_ignored(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png")
    write_image(tmp_path / "images" / "b.png", seed=1)
    source = ctw(
        tmp_path / "list.jsonl",
        {
            "file_name": "a.png",
            "width": 30,
            "height": 20,
            "annotations": [
                [
                    character([[2, 2], [12, 2], [12, 12], [2, 12]]),
                    character([[13, 2], [16, 2], [16, 5], [13, 5]], "国"),
                ],
                [character([[20, 2], [28, 2], [28, 9], [20, 9]], "A", is_chinese=False)],
            ],
            "ignore": [{"polygon": [[2, 2], [12, 2], [12, 7], [2, 7]]}],
        },
        {"file_name": "b.png", "annotations": [], "ignore": [{"polygon": [[0, 0], [30, 0], [30, 10], [0, 10]]}]},
    )
    found = read_photos(source)
    first, second = found.photos
    assert [each.text for each in first.polygons.characters] == ["中", "国"]
    expected = np.zeros((20, 30), bool)
    expected[7:12, 2:12] = expected[2:5, 13:16] = True  # the Latin letter is background, half of 中 is ignored
    np.testing.assert_array_equal(first.target(), expected)
    ignored = np.zeros((20, 30), bool)
    ignored[2:7, 2:12] = True
    np.testing.assert_array_equal(first.supervision(), ~ignored)
    assert not second.target().any()
    assert second.supervision().sum() == 10 * 30
    assert (found.dropped, found.clipped) == ({}, {})


def test_what_cannot_be_used_is_counted_and_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "small.png", (5, 5))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    good = [[2, 2], [12, 2], [12, 12]]
    polygons = [
        good,
        [[1, 1], [2, 2]],
        [[1, 1], [2, 2], [3, 3]],
        [[1, None], [9, 2], [3, 9]],
        [[40, 2], [50, 2], [50, 9]],
    ]
    polygons.append([[-4, 2], [5, 2], [5, 9]])
    source = ctw(
        tmp_path / "list.jsonl",
        {
            "file_name": "a.png",
            "annotations": [[character(each) for each in polygons]],
            "ignore": [{"polygon": [[25, 2], [35, 2], [35, 9]]}, {"polygon": [[0, 0], [0, 0], [0, 0]]}],
        },
        {"file_name": "small.png", "width": 30, "height": 20, "annotations": [], "ignore": []},
        {"file_name": "broken.png", "annotations": [], "ignore": []},
        {"file_name": "gone.png", "annotations": [], "ignore": []},
    )
    found = read_photos(source)
    (photo,) = found.photos
    assert (len(photo.polygons.characters), len(photo.polygons.ignore)) == (2, 1)
    assert {reason: each.first for reason, each in found.dropped.items()} == {
        "polygon of fewer than three corners": ("a, character 2",),
        "polygon without area": ("a, character 3", "a, ignore 2"),
        "polygon with a corner that is no number": ("a, character 4",),
        "polygon wholly outside the image": ("a, character 5",),
        "image of another size than its list says": ("small",),
        "unreadable image": ("broken",),
        "missing image": ("gone",),
    }
    assert found.clipped["polygon cut at the image's edge"].first == ("a, character 6", "a, ignore 1")
    assert "1 photographs; left out polygon without area: 2 (a, character 3, a, ignore 2)" in str(found)
    np.testing.assert_array_equal(photo.target() & ~photo.supervision(), np.zeros((20, 30), bool))


def test_labelme_files_beside_their_photographs(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    shapes = [
        {"label": "中", "points": [[2, 2], [12, 2], [12, 12], [2, 12]], "shape_type": "polygon"},
        {"label": "ignore", "points": [[2, 2], [6, 12]], "shape_type": "rectangle"},
        {"label": "x", "points": [[2, 2], [6, 12]], "shape_type": "line"},
    ]
    said = {
        "imagePath": "a.png",
        "imageWidth": 30,
        "imageHeight": 20,
        "shapes": shapes,
        "flags": {"night": True, "b": False},
    }
    (tmp_path / "a.json").write_text(json.dumps(said))
    (tmp_path / "settings.json").write_text('{"not": "labelme"}')
    found = read_photos(tmp_path)
    (photo,) = found.photos
    assert (photo.target().sum(), (~photo.supervision()).sum(), photo.tags) == (6 * 10, 4 * 10, ("night",))
    assert read_photos(tmp_path / "a.json").photos == found.photos


def test_tables_have_masks_and_tags(tmp_path: Path) -> None:
    for name in "abcd":
        write_image(tmp_path / "photos" / f"{name}.jpg")
    mask = np.zeros((20, 30), np.uint8)
    mask[3:6, 4:9], mask[10:12, :5] = 7, 19
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    Image.fromarray(mask[:, :9]).save(tmp_path / "masks" / "d.png")
    rows = ["image,mask,labels", "photos/a.jpg,masks/a.png,bag|shoes", "photos/b.jpg,,", "photos/c.jpg,masks/c.png,bag"]
    (tmp_path / "labels.csv").write_text("\n".join([*rows, "photos/d.jpg,masks/d.png,", "photos/e.jpg,,bag"]) + "\n")
    found = read_photos(tmp_path)
    a, b, c, d = found.photos
    assert (found.tags, a.tags, b.tags) == (("bag", "shoes"), ("bag", "shoes"), ())
    np.testing.assert_array_equal(a.target(), mask > 0)
    np.testing.assert_array_equal(a.target(background=(0, 19)), mask == 7)
    assert [photo.annotated for photo in (a, b, c, d)] == [True, False, False, True]
    assert {reason: each.first for reason, each in found.dropped.items()} == {
        "missing mask": ("c",),
        "missing image": ("e",),
    }
    with pytest.raises(LabelError, match="neither polygons nor a mask"):
        b.target()
    with pytest.raises(SourceError, match=r"\(20, 9\) px \(H, W\), but its photograph is \(20, 30\)"):
        d.target()


def test_folders_of_images_with_masks_or_without(tmp_path: Path) -> None:
    write_image(tmp_path / "both" / "images" / "a.jpg")
    write_image(tmp_path / "both" / "images" / "b.jpg")
    (tmp_path / "both" / "masks").mkdir()
    Image.fromarray(np.ones((20, 30), np.uint8)).save(tmp_path / "both" / "masks" / "a.png")
    assert [photo.annotated for photo in read_photos(tmp_path / "both").photos] == [True, False]
    write_image(tmp_path / "alone" / "x" / "a.png")
    write_image(tmp_path / "alone" / "a.png")
    assert [photo.name for photo in read_photos(tmp_path / "alone").photos] == ["a.png", "x/a.png"]
    joined = read_photos([tmp_path / "both", tmp_path / "alone"])
    assert [photo.name for photo in joined.photos] == ["both/a", "both/b", "alone/a.png", "alone/x/a.png"]
    for folder in ("one", "two"):
        write_image(tmp_path / folder / "a.png")
        (tmp_path / folder / "list.csv").write_text("image\na.png\n")
    lists = [tmp_path / folder / "list.csv" for folder in ("one", "two")]
    assert [photo.name for photo in read_photos(lists).photos] == [f"{path}/a" for path in lists]
    with pytest.raises(SourceError, match="Expected every photograph once"):
        read_photos([tmp_path / "both", tmp_path / "both"])


def test_what_is_no_list_of_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        read_photos(tmp_path / "none.jsonl")
    with pytest.raises(SourceNotFoundError, match=r"no files in .*; expected photographs, or a list of them"):
        read_photos(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"file_name": "a.png"}\n{"annotations": 3}\n')
    with pytest.raises(SourceError, match=r"Line 2 of .* should be a JSON object with file_name"):
        read_photos(tmp_path / "a.jsonl")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(SourceError, match="imagePath and shapes"):
        read_photos(tmp_path / "a.json")
    (tmp_path / "a.csv").write_text("file\nx.png\n")
    with pytest.raises(SourceError, match="column 'image'"):
        read_photos(tmp_path / "a.csv")
    with pytest.raises(SourceError, match=r"several lists, a\.csv, a\.jsonl"):
        read_photos(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SourceError, match=r"should be a \.jsonl"):
        read_photos(tmp_path / "a.txt")
    (tmp_path / "b.csv").write_text("image\nx.png\n")
    with pytest.raises(SourceError, match=r"Expected photographs .* left out missing image: 1"):
        read_photos(tmp_path / "b.csv")


def photo(path: Path) -> Photo:
    return read_photos(path).photos[0]


def test_every_mode_becomes_rgb(tmp_path: Path) -> None:
    grey = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
    expected = np.repeat(grey[..., None], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(expected).save(tmp_path / "rgb.tif")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    for name in ("grey.png", "deep.png", "rgb.tif", "palette.png"):
        np.testing.assert_array_equal(photo(tmp_path / name).pixels(), expected, err_msg=name)
    clear = np.dstack([expected, np.where(grey < 100, 0, 255).astype(np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    white = np.where(grey[..., None] < 100, 255, expected)
    np.testing.assert_array_equal(photo(tmp_path / "clear.png").pixels(), white)
    inks = Image.fromarray(expected).convert("CMYK")
    inks.save(tmp_path / "inks.tif")
    np.testing.assert_array_equal(photo(tmp_path / "inks.tif").pixels(), np.asarray(inks.convert("RGB")))
    inks.save(tmp_path / "inks.jpg", quality=100, subsampling=0)
    assert np.abs(photo(tmp_path / "inks.jpg").pixels().astype(int) - expected).max() < 8
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 6, 3), np.float32), photometric="rgb")
    with pytest.raises(SourceError, match="3 channels of float32"):
        photo(tmp_path / "float.tif").pixels()


@pytest.mark.parametrize("form", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_says(tmp_path: Path, orientation: int, form: str) -> None:
    from PIL import ImageOps  # Pillow's own turning is the reference

    exif = Image.Exif()
    exif[274] = orientation
    blocks = np.kron(np.arange(0, 240, 40, dtype=np.uint8).reshape(2, 3), np.ones((8, 8), np.uint8))
    Image.fromarray(blocks).convert("RGB").save(tmp_path / f"a.{form}", exif=exif)
    with Image.open(tmp_path / f"a.{form}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    found = photo(tmp_path / f"a.{form}")
    assert found.size == expected.shape[:2]
    np.testing.assert_array_equal(found.pixels(), expected)


def test_masks_keep_the_numbers_of_a_palette_and_jpegs_are_cut_at_one_half(tmp_path: Path) -> None:
    numbers = np.array([[0, 1, 2, 3]] * 4, np.uint8)
    image = Image.fromarray(numbers).convert("P")
    image.putpalette([9, 9, 9] * 4)  # all of one colour
    image.putdata(numbers.ravel().tolist())
    for name in ("palette.png", "palette.tif"):
        image.save(tmp_path / name)
        found = read_mask(Location.of(tmp_path / name), (4, 4), background=(0, 2))
        np.testing.assert_array_equal(found, numbers % 2 > 0, err_msg=name)
    binary = np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((8, 8), np.uint8))
    Image.fromarray(binary).save(tmp_path / "soft.jpg", quality=40)
    np.testing.assert_array_equal(read_mask(Location.of(tmp_path / "soft.jpg"), (16, 16)), binary > 0)


@pytest.mark.parametrize("colour", [False, True])
def test_what_is_transparent_in_a_mask_is_background(tmp_path: Path, colour: bool) -> None:
    painted = np.zeros((8, 8), np.uint8)
    painted[2:4, 5:7] = 255
    Image.fromarray(np.dstack([painted] * (4 if colour else 2))).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(Location.of(tmp_path / "mask.png"), (8, 8)), painted > 0)


def test_an_image_that_changed_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    found = photo(tmp_path / "a.png")
    write_image(tmp_path / "a.png", (20, 31))
    with pytest.raises(SourceError, match="when it was listed"):
        found.pixels()
    assert open_photo(found.location).shape == (20, 31)


@pytest.mark.skipif(not (SHARED / "scene_text").exists(), reason="needs ../shared/data/scene_text")
def test_real_street_photographs() -> None:
    found = read_photos(SHARED / "scene_text" / "ctw_style.jsonl")
    assert len(found.photos) == 10
    assert not found.dropped
    only_ignored = [photo.name for photo in found.photos if photo.polygons.ignore and not photo.polygons.characters]
    assert sorted(only_ignored) == ["img_4", "img_5"]
    for each in found.photos:
        target, counts = each.target(), each.supervision()
        assert target.any() == bool(each.polygons.characters)
        assert not (target & ~counts).any()
        exact = sum(area_of(polygon) for polygon, _ in each.polygons.characters)
        assert target.sum() <= exact * 1.05


@pytest.mark.skipif(not (SHARED / "apparel").exists(), reason="needs ../shared/data/apparel")
def test_real_apparel() -> None:
    found = read_photos(SHARED / "apparel")
    assert (len(found.photos), len(found.annotated)) == (2098, 1004)
    assert 0.1 < found.annotated[0].target().mean() < 0.6
    assert found.annotated[0].target(background=(0, 19, 41)).sum() < found.annotated[0].target().sum()  # hair, skin
