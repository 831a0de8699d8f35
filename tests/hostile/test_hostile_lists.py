"""Hostile lists of lines and photographs: an error that names the file, or the rest of the list."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from volumen.errors import SourceError
from volumen.sources.lines.read_lines import read_lines
from volumen.sources.location import Location
from volumen.sources.photos.photo_image import open_photo
from volumen.sources.photos.read_photos import read_photos

BOX = [[5, 5], [30, 5], [30, 20], [5, 20]]
DEEP = "[" * 5000 + "]" * 5000
HUGE = "9" * 5000


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(np.full((40, 50), 200, np.uint8)).save(tmp_path / "a.png")
    return tmp_path


def photo_of(folder, name, said):
    (folder / name).write_text(said if isinstance(said, str) else json.dumps(said))
    return read_photos(folder / name)


CTW = {"file_name": "a.png", "width": 50, "height": 40, "annotations": [[{"polygon": BOX, "text": "字"}]], "ignore": []}


@pytest.mark.parametrize(
    "said",
    [
        json.dumps(CTW).replace("40", "1e999"),
        json.dumps(CTW).replace("[5, 5]", f"[5, 1{'0' * 400}]"),
        json.dumps(CTW).replace('"a.png"', '"\\ud800"'),
        DEEP,
        "[]",
        json.dumps(CTW | {"annotations": [5]}),
    ],
)
def test_ctw_out_of_shape(folder, said):
    with pytest.raises(SourceError, match=r"Line 1 of .*list\.jsonl"):
        photo_of(folder, "list.jsonl", said)


def test_a_line_of_ctw_ends_where_json_lines_end(folder):
    """A separator of paragraphs is a character of a text, not the end of a line."""
    said = json.dumps(CTW).replace("\\u5b57", "\u2028\x85")
    (photo,) = photo_of(folder, "list.jsonl", f"{said}\n").photos
    assert photo.polygons.characters[0].text == "\u2028\x85"


LABELME = {"imagePath": "a.png", "imageHeight": 40, "imageWidth": 50}
LABELME |= {"shapes": [{"label": "x", "points": BOX}], "flags": {}}


@pytest.mark.parametrize(
    "said",
    [
        LABELME | {"imageHeight": "tall"},
        LABELME | {"imageHeight": [1]},
        json.dumps(LABELME).replace("40", "1e999"),
        json.dumps(LABELME | {"flags": {"\ud800": True}}),
        LABELME | {"shapes": 3},
        LABELME | {"flags": [1]},
        DEEP,
    ],
)
def test_labelme_out_of_shape(folder, said):
    with pytest.raises(SourceError, match=r"a\.json"):
        photo_of(folder, "a.json", said)


@pytest.mark.parametrize("path", ["a\0.png", "x" * 5000 + ".png"])
def test_labelme_names_what_no_file_is_called(folder, path):
    with pytest.raises(SourceError, match=r"left out missing image|cannot be read"):
        photo_of(folder, "a.json", LABELME | {"imagePath": path})


@pytest.mark.parametrize("side", [HUGE, "²", "-3", "0", "1e3"])
def test_sizes_of_tables_that_are_none(folder, side):
    with pytest.raises(SourceError, match="whole pixels"):
        photo_of(folder, "photos.csv", f"image,width,height\na.png,{side},40\n")
    (folder / "lines.tsv").write_text(f"file\twidth\theight\na.png\t{side}\t40\n")
    with pytest.raises(SourceError, match="whole pixels"):
        read_lines(folder / "lines.tsv")


def test_a_table_names_what_no_file_is_called(folder):
    (folder / "lines.tsv").write_text("file\na\0b/c.png\na.png\n")
    found = read_lines(folder / "lines.tsv")
    assert [line.name for line in found.lines] == ["a"]
    assert found.dropped["missing image"].count == 1


def alto(size, line):
    about = "<Description><MeasurementUnit>mm10</MeasurementUnit><sourceImageInformation><fileName>a.png</fileName>"
    about += "</sourceImageInformation></Description>"
    return f"<alto>{about}<Layout><Page {size}>{line}</Page></Layout></alto>"


DRAWN = "<TextLine ID='l'><Shape><Polygon POINTS='{points}'/></Shape><String CONTENT='x'/></TextLine>"


@pytest.mark.parametrize(
    ("size", "points"),
    [
        ("WIDTH='50' HEIGHT='nan'", "0,0 40,0 40,30"),
        ("WIDTH='inf' HEIGHT='40'", "0,0 40,0 40,30"),
        ("WIDTH='1e-320' HEIGHT='1e-320'", "0,0 1e300,0 40,30"),
        ("WIDTH='50' HEIGHT='40'", "0,0 1e999,0 40,30"),
        ("WIDTH='50' HEIGHT='40'", "-1e9,-1e9 1e9,0 40,1e9"),
    ],
)
def test_outlines_that_are_nowhere(folder, size, points):
    (folder / "page.xml").write_text(alto(size, DRAWN.format(points=points)))
    with pytest.raises(SourceError, match="left out"):
        read_lines(folder / "page.xml")


def test_an_index_of_a_reading_without_end(folder):
    text = f"<TextEquiv index='{HUGE}'><Unicode>x</Unicode></TextEquiv>"
    line = f"<TextLine id='a'><Coords points='0,0 9,0 9,9'/>{text}</TextLine>"
    (folder / "page.xml").write_text(f"<PcGts><Page imageFilename='a.png'>{line}</Page></PcGts>")
    assert [line.text for line in read_lines(folder / "page.xml").lines] == ["x"]


def test_lines_that_take_one_another_s_names(folder):
    """Each line of a name goes on where the one before it found a number that was free."""
    ids = ["a", *(f"a#{number}" for number in range(102, 202)), *["a"] * 3, "a#204", *["a", "a#2"] * 50]
    lines = "".join(f"<TextLine id='{name}'><Coords points='0,0 9,0 9,9'/></TextLine>" for name in ids)
    (folder / "page.xml").write_text(f"<PcGts><Page imageFilename='a.png'>{lines}</Page></PcGts>")
    expected: list[str] = []
    for number, wanted in enumerate(ids, start=1):
        free = (f"{wanted}#{tried}" for tried in range(number, 4 * len(ids)))
        expected.append(wanted if wanted not in expected else next(name for name in free if name not in expected))
    assert [line.name for line in read_lines(folder / "page.xml").lines] == [f"page/{name}" for name in expected]


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE a [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><PcGts>&b;</PcGts>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><alto>&x;</alto>",
        "<!DOCTYPE a SYSTEM 'http://host.invalid/a.dtd'><alto/>",
        "<a>" * 5000 + "</a>" * 5000,
        "<?xml version='1.0' encoding='no-such'?><alto/>",
        "<alto>&undefined;</alto>",
    ],
)
def test_xml_that_would_grow_or_reach_out(folder, text):
    (folder / "page.xml").write_text(text)
    with pytest.raises(SourceError, match=r"page\.xml"):
        read_lines(folder / "page.xml")


def test_a_photograph_larger_than_memory(tmp_path, monkeypatch):
    def full(*_given, **_options):
        raise MemoryError

    Image.fromarray(np.zeros((9, 11), np.uint8)).save(tmp_path / "a.png")
    photo = open_photo(Location.of(tmp_path / "a.png"))
    monkeypatch.setattr("numpy.repeat", full)
    with pytest.raises(SourceError, match="more memory than there is: 9 x 11 px"):
        photo.read()
