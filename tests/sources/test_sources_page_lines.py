"""PAGE XML and ALTO: lines are cut out along their outlines, and whatever cannot be used is named and counted."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import volumen.sources.lines.line as lines_module
from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.left_out import Drops
from volumen.sources.lines.cut import CutImage, fault, outline
from volumen.sources.lines.page_lines import read_page, read_pages
from volumen.sources.lines.read_lines import read_lines
from volumen.sources.location import Location

PAGES = Path(__file__).parents[3] / "shared/data/handwriting/pages_pagexml"
SQUARE = "10,5 59,5 59,24 10,24"
HEIGHT, WIDTH = 80, 120


def grey(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, (HEIGHT, WIDTH), dtype=np.uint8)


def write_image(path: Path, seed: int = 0) -> np.ndarray:
    Image.fromarray(grey(seed)).save(path)
    return grey(seed)


def page_line(name: str, points: str | None, text: str = "") -> str:
    coordinates = "" if points is None else f'<Coords points="{points}"/>'
    return f'<TextLine id="{name}">{coordinates}<TextEquiv><Unicode>{text}</Unicode></TextEquiv></TextLine>'


def page_xml(*lines: str, image: str = "a.png", size: tuple[int, int] = (HEIGHT, WIDTH)) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">'
        f'<Page imageFilename="{image}" imageWidth="{size[1]}" imageHeight="{size[0]}">'
        f'<TextRegion id="r1">{"".join(lines)}</TextRegion></Page></PcGts>'
    )


def alto_xml(*lines: str, unit: str = "pixel", size: tuple[int, int] = (HEIGHT, WIDTH)) -> str:
    return (
        '<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#">'
        f"<Description><MeasurementUnit>{unit}</MeasurementUnit><sourceImageInformation><fileName>a.png</fileName>"
        f'</sourceImageInformation></Description><Layout><Page HEIGHT="{size[0]}" WIDTH="{size[1]}"><PrintSpace>'
        f"<TextBlock>{''.join(lines)}</TextBlock></PrintSpace></Page></Layout></alto>"
    )


def pixels(line: lines_module.Line) -> np.ndarray:
    return line.segment.read(line.segment.window)[0]


def inside_slowly(corners: list[tuple[int, int]], y: int, x: int) -> bool:
    """Whether a pixel lies inside a convex polygon or on it: on one side of every edge."""
    following = corners[1:] + corners[:1]
    sides = [(u - a) * (y - b) - (v - b) * (x - a) for (a, b), (u, v) in zip(corners, following, strict=True)]
    return all(side >= 0 for side in sides) or all(side <= 0 for side in sides)


def test_an_outline_is_cut_out_and_the_rest_of_its_box_is_white() -> None:
    page = grey()[None]
    for corners in ([(10, 5), (59, 5), (59, 24), (10, 24)], [(20, 4), (70, 30), (50, 60), (10, 40)]):
        cut = CutImage(page=page, outline=tuple(corners))
        xs, ys = zip(*corners, strict=True)
        top, left = min(ys), min(xs)
        assert cut.shape == (1, max(ys) - top + 1, max(xs) - left + 1)
        seen = cut[:, :, :]
        assert seen.dtype == np.uint8
        for y, x in np.ndindex(*cut.shape[1:]):
            inside = inside_slowly(corners, y + top, x + left)
            near = any(inside_slowly(corners, y + top + dy, x + left + dx) != inside for dy, dx in NEIGHBOURS)
            if not near:  # the line that a pixel's edge draws may fall to either side
                assert seen[0, y, x] == (page[0, y + top, x + left] if inside else 255)
        np.testing.assert_array_equal(cut[0:1, 3:9, 2:20], seen[:, 3:9, 2:20])
    assert (seen == 255).mean() > 0.3


NEIGHBOURS = [(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]


def test_what_reaches_over_the_page_is_cut_off() -> None:
    page = grey()[None]
    cut = CutImage(page=page, outline=outline("-30,-9 200,-9 200,11 -30,11"))
    np.testing.assert_array_equal(cut[:, :, :], page[:, :12])
    with pytest.raises(SourceError, match="outside the page"):
        CutImage(page=page, outline=outline("200,5 210,5 210,20"))


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (SQUARE, ""),
        ("", "no polygon"),
        ("1,2 30,40", "no polygon"),
        ("1,2 30,40 5", "no polygon"),
        ("5,5 50,5 90,5", "no polygon"),
        ("1,1 1,1 1,1 1,1", "no polygon"),
        ("nan,1 30,1 30,30", "no polygon"),
        ("1e999,1 30,1 30,30", "no polygon"),
        ("0,100 50,100 50,120", "outside the page"),
        ("-40,1 -5,1 -5,30", "outside the page"),
        ("0,0 1e8,0 1e8,50 0,50", "outside the page"),
        ("10.5,5.25 59.5,5.25 59.5,24", ""),
    ],
)
def test_outlines_that_enclose_nothing_are_told_from_those_beside_the_page(points: str, reason: str) -> None:
    assert fault(outline(points), (HEIGHT, WIDTH)) == reason


def test_page_xml_reads_as_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_image(tmp_path / "a.png")
    word = '<Word id="w"><TextEquiv><Unicode>{}</Unicode></TextEquiv></Word>'
    old = '<TextLine id="old"><Coords><Point x="0" y="30"/><Point x="9" y="30"/><Point x="9" y="40"/></Coords>'
    readings = (
        f'<TextLine id="two"><Coords points="{SQUARE}"/><TextEquiv index="1"><Unicode>worse</Unicode></TextEquiv>'
        '<TextEquiv index="0"><Unicode>better</Unicode></TextEquiv></TextLine>'
    )
    (tmp_path / "p.xml").write_text(
        page_xml(
            page_line("l1", SQUARE, "Fish &amp; \n  chips, 5 µm"),
            f"{old}{word.format('two')}{word.format('words')}</TextLine>",
            readings,
            page_line("l1", SQUARE, "again"),
            page_line("", SQUARE, "unnamed"),
        ),
        encoding="utf-8",
    )

    def never(*_: object) -> None:
        raise AssertionError("pixels were read before they were asked for")

    with monkeypatch.context() as patched:
        patched.setattr(lines_module, "eight_bit", never)
        found = read_lines(tmp_path / "p.xml")
        shapes = [line.segment.shape for line in found.lines]
    assert found.dropped == {}
    assert [line.text for line in found.lines] == [
        "Fish & chips, 5 µm",
        "two words",
        "better",
        "again",
        "unnamed",
    ]
    assert [line.name for line in found.lines] == ["p/l1", "p/old", "p/two", "p/l1#4", "p/5"]
    assert {line.page for line in found.lines} == {"p"}
    assert shapes == [(1, 20, 50), (1, 11, 10), *[(1, 20, 50)] * 3]
    np.testing.assert_array_equal(pixels(found.lines[0]), whole[5:25, 10:60])
    for line in pickle.loads(pickle.dumps(found)).lines[::2]:
        np.testing.assert_array_equal(pixels(line), whole[5:25, 10:60])


def test_alto_reads_as_its_lines(tmp_path: Path) -> None:
    whole = write_image(tmp_path / "a.png")
    box = 'HPOS="10" VPOS="5" WIDTH="50" HEIGHT="20"'
    shape = '<Shape><Polygon POINTS="{}"/></Shape>'
    strings = '<String CONTENT="Callitris"/>{}<String CONTENT="quad"/>{}'
    (tmp_path / "p.xml").write_text(
        alto_xml(
            f'<TextLine ID="a" {box}>{shape.format(SQUARE)}{strings.format("<SP/>", "")}</TextLine>',
            f'<TextLine ID="b" {box}>{shape.format(SQUARE.replace(",", " "))}{strings.format("", "")}</TextLine>',
            f'<TextLine ID="c" {box}>{strings.format("<SP/>", "<HYP CONTENT=&quot;-&quot;/>")}</TextLine>'.replace(
                "&quot;", '"'
            ),
            f'<TextLine ID="d">{strings.format("", "")}</TextLine>',
        )
    )
    found = read_lines(tmp_path)
    assert [(line.name, line.text) for line in found.lines] == [
        ("p/a", "Callitris quad"),
        ("p/b", "Callitris quad"),
        ("p/c", "Callitris quad-"),
    ]
    for line in found.lines:
        np.testing.assert_array_equal(pixels(line), whole[5:25, 10:60])
    assert {reason: count.first for reason, count in found.dropped.items()} == {"no polygon": ("p/d",)}


def test_alto_in_tenths_of_a_millimetre_is_scaled_to_its_image(tmp_path: Path) -> None:
    whole = write_image(tmp_path / "a.png")
    line = (
        '<TextLine ID="a"><Shape><Polygon POINTS="40,20 236,20 236,96 40,96"/></Shape><String CONTENT="x"/></TextLine>'
    )
    (tmp_path / "p.xml").write_text(alto_xml(line, unit="mm10", size=(4 * HEIGHT, 4 * WIDTH)))
    (found,) = read_lines(tmp_path / "p.xml").lines
    np.testing.assert_array_equal(pixels(found), whole[5:25, 10:60])
    (tmp_path / "p.xml").write_text(alto_xml(line, unit="mm10").replace(f'HEIGHT="{HEIGHT}"', ""))
    with pytest.raises(SourceError, match="units of a page whose size its XML does not say"):
        read_lines(tmp_path / "p.xml")


def test_images_are_found_where_export_programs_put_them(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    for image, said, name in (
        ("a.png", "a.png", "p.xml"),
        ("page/b.png", "b.png", "q.xml"),
        ("c.JPG", "C:\\scans\\c.jpg", "r.xml"),
        ("page/d.png", "gone.tif", "d.xml"),
        ("page/e.png", "", "e.xml"),
    ):
        write_image(tmp_path / image)
        (tmp_path / "page" / name).write_text(page_xml(page_line("l", SQUARE, "x"), image=said))
    (tmp_path / "mets.xml").write_text('<mets xmlns="http://www.loc.gov/METS/"/>')
    found = read_lines(tmp_path)
    assert sorted(line.name for line in found.lines) == ["d/l", "e/l", "p/l", "q/l", "r/l"]
    assert {line.location.name for line in found.lines} == {"a.png", "b.png", "c.JPG", "d.png", "e.png"}
    assert {reason: count.first for reason, count in found.dropped.items()} == {"neither PAGE nor ALTO": ("mets.xml",)}


def test_each_folder_is_listed_once_for_all_its_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page").mkdir()
    for number in range(5):
        write_image(tmp_path / f"{number}.png")
        text = page_xml(page_line("l", SQUARE, "x"), image=f"{number}.png")
        (tmp_path / "page" / f"{number}.xml").write_text(text)
    listed, listing = [], Location.listing
    monkeypatch.setattr(Location, "listing", lambda folder: listed.append(folder.name) or listing(folder))
    assert len(read_lines(tmp_path).lines) == 5
    assert sorted(listed) == sorted({tmp_path.name, "page"})


def test_of_two_files_that_tell_of_one_page_one_is_read(tmp_path: Path) -> None:
    for folder in ("alto", "page"):
        (tmp_path / folder).mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
    shape = f'<TextLine ID="l1"><Shape><Polygon POINTS="{SQUARE}"/></Shape><String CONTENT="text"/></TextLine>'
    (tmp_path / "alto/a.xml").write_text(alto_xml(shape))
    (tmp_path / "alto/b.xml").write_text(alto_xml(shape).replace("a.png", "b.png"))
    (tmp_path / "page/a.xml").write_text(page_xml(page_line("l1", SQUARE, "text")))
    (tmp_path / "page/gone.xml").symlink_to(tmp_path / "nowhere.xml")
    found = read_lines(tmp_path)
    assert [line.name for line in found.lines] == ["alto/b/l1", "page/a/l1"]
    assert {reason: count.first for reason, count in found.dropped.items()} == {
        "line of a page that another XML tells of too": ("alto/a/l1",),
        "XML that is damaged or declares a document type": ("page/gone.xml",),
    }


def test_what_cannot_be_used_is_counted_by_reason(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    pages = {
        "good.xml": page_xml(
            page_line("l1", SQUARE, "text"),
            page_line("l2", None, "text"),
            page_line("l3", "1,2 3,4", "text"),
            page_line("l4", "500,5 600,5 600,30", "text"),
            page_line("l5", SQUARE, "  "),
        ),
        "unreadable.xml": page_xml(page_line("l1", SQUARE, "text"), image="b.png"),
        "missing.xml": page_xml(page_line("l1", SQUARE, "t"), page_line("l2", SQUARE, "t"), image="none.png"),
        "smaller.xml": page_xml(page_line("l1", SQUARE, "text"), size=(40, 60)),
        "empty.xml": page_xml(),
        "damaged.xml": "<PcGts><Page>",
        "doctype.xml": '<!DOCTYPE lolz [<!ENTITY lol "lol">]><PcGts>&lol;</PcGts>',
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    found = read_lines(tmp_path)
    assert [line.name for line in found.lines] == ["good/l1"]
    assert {reason: count.first for reason, count in found.dropped.items()} == {
        "no polygon": ("good/l2", "good/l3"),
        "outside the page": ("good/l4",),
        "empty transcript": ("good/l5",),
        "unreadable image": ("unreadable/l1",),
        "missing image": ("missing/l1", "missing/l2"),
        "page image of another size than its XML says": ("smaller/l1",),
        "page without lines": ("empty.xml",),
        "XML that is damaged or declares a document type": ("damaged.xml", "doctype.xml"),
    }
    kept = read_lines(tmp_path, keep_untranscribed=True)
    assert [line.name for line in kept.lines] == ["good/l1", "good/l5"]


def test_pages_of_which_no_line_can_be_used_are_not_taken_for_lines(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "p.xml").write_text(page_xml(page_line("l1", None, "text")))
    with pytest.raises(SourceError, match=r"left out no polygon: 1 \(p/l1\)"):
        read_lines(tmp_path)


def test_one_file_that_cannot_be_read_is_an_error_that_says_why(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE z [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 50}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text, words in (
        (f"{bomb}]><PcGts>&i;</PcGts>", r"p\.xml declares a document type \(z\).*Remove"),
        ('<!DOCTYPE x SYSTEM "file:///etc/hostname"><PcGts/>', "declares a document type"),
        ("<PcGts><Page>", "damaged or no XML.*export it again"),
        ("", "damaged or no XML"),
        ('<?xml version="1.0" encoding="klingon"?><PcGts/>', "damaged or no XML"),
        ("<PcGts>&undeclared;</PcGts>", "damaged or no XML"),
        ("<a>" * 300 + "</a>" * 300, "nests more than 200"),
        ("<html/>", "should be PAGE XML.*or ALTO.*got html"),
        (page_xml(), "page without lines"),
    ):
        (tmp_path / "p.xml").write_text(text)
        with pytest.raises(SourceError, match=words):
            read_lines(tmp_path / "p.xml")
    with pytest.raises(SourceNotFoundError, match=r"no file at .*gone\.xml"):
        read_page(Location.of(tmp_path / "gone.xml"), Drops())


def test_pages_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png")
        (tmp_path / folder / "p.xml").write_text(page_xml(page_line("l", SQUARE, folder)))
    lines = read_pages(Location.of(tmp_path), ["x/p.xml", "y/p.xml"], Drops())
    assert [(line.name, line.page, line.text) for line in lines] == [("x/p/l", "x/p", "x"), ("y/p/l", "y/p", "y")]


@pytest.mark.skipif(not PAGES.exists(), reason="the real pages are not beside the repository")
def test_real_pages_give_their_lines() -> None:
    found = read_lines(PAGES)
    assert len(found.lines) == 155
    assert len({line.page for line in found.lines}) == 6
    assert found.dropped == {}
    assert found.lines[0].text == "Dec 21/95"
    for line in found.lines[::20]:
        whole = np.asarray(Image.open(line.segment.source).convert("L")).astype(int)
        seen = pixels(line)
        y0, y1, x0, x1 = line.segment.levels[0].box  # type: ignore[attr-defined]
        shown = seen < 255
        assert 0.1 < shown.mean() < 1
        # Pillow's own grey rounds otherwise by one
        assert np.abs(whole[y0:y1, x0:x1] - seen)[shown].max() <= 1
