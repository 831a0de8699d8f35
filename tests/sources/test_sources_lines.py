"""open_lines: a list of text lines opens without its images, and says what is wrong with it before they are read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import volumen.sources.lines.line as lines_module
from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.arrays.recent import Recent
from volumen.sources.lines.line import Line, open_lines
from volumen.windows import Window

HANDWRITING = Path(__file__).parents[3] / "shared/data/handwriting"
HEADER = "file\ttext\tpage\twriter\tsplit\twidth\theight"


def grey(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "lines.tsv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def count_openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []

    def counted(location):  # type: ignore[no-untyped-def]
        opened.append(location.name)
        return open_upright(location)

    open_upright = lines_module.open_upright
    monkeypatch.setattr(lines_module, "open_upright", counted)
    return opened


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two lines of different size, in a folder below the list."""
    (tmp_path / "img").mkdir()
    Image.fromarray(grey(64, 180)).save(tmp_path / "img/a.png")
    Image.fromarray(grey(40, 300, 1)).save(tmp_path / "img/b.png")
    return tmp_path


def test_a_list_reads_as_its_images_and_texts(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_openings(monkeypatch)
    path = write(two, 'img/a.png\t"Dec" 21/95, 5 µm\tp1\tJDH\ttest\t180\t64', "img/b.png\t\t\t\t\t300\t40")
    first, second = open_lines(path)
    assert (first.name, first.text, first.writer, first.split) == ("a", '"Dec" 21/95, 5 µm', "JDH", "test")
    assert (second.name, second.text, second.writer, second.split) == ("b", "", "", "")
    segment = first.segment
    assert (segment.name, segment.source) == ("a", str(two / "img/a.png"))
    assert (segment.shape, segment.depth, segment.surface_index, segment.dtype) == ((1, 64, 180), 1, 0, np.uint8)
    assert segment is first.segment, "the cache tells segments apart by identity"
    assert (segment.ink, segment.mask) == (None, None)
    assert opened == []
    np.testing.assert_array_equal(segment.read(segment.window)[0], grey(64, 180))
    window = Window((0, 1), (5, 20), (170, 180))
    np.testing.assert_array_equal(segment.read(window)[0], grey(64, 180)[window.yx])
    np.testing.assert_array_equal(second.segment.read(second.segment.window)[0], grey(40, 300, 1))
    assert opened == ["a.png", "b.png"], "each is decoded once while there is room"


@pytest.mark.parametrize("cells", [("", ""), ("180", "")])
def test_without_a_size_the_header_is_read_when_the_line_is_used(
    two: Path, monkeypatch: pytest.MonkeyPatch, cells: tuple[str, str]
) -> None:
    opened = count_openings(monkeypatch)
    rows = [f"img/a.png\tx\t\t\ttrain\t{cells[0]}\t{cells[1]}", "img/b.png\tx\t\t\ttrain\t\t"]
    first, _ = open_lines(write(two, *rows))
    assert opened == []
    assert first.segment.shape == (1, 64, 180)
    assert opened == ["a.png"]
    (only,) = open_lines(write(two, "img/b.png", header="file"))
    assert only.segment.shape == (1, 40, 300)
    assert only.text == only.writer == only.split == ""


def test_names_differ_where_stems_do_not(tmp_path: Path) -> None:
    for folder in ("p1", "p2"):
        (tmp_path / folder).mkdir()
        Image.fromarray(grey(8, 8)).save(tmp_path / folder / "0.png")
    lines = open_lines(write(tmp_path, "p1/0.png", "p2/0.png", header="file"))
    assert [line.segment.name for line in lines] == ["p1/0.png", "p2/0.png"]


def test_every_form_of_image_reads_as_8_bit_grey(tmp_path: Path) -> None:
    pixels = grey(12, 20)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(np.stack([pixels] * 3, -1)).save(tmp_path / "b.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(tmp_path / "c.png")
    tifffile.imwrite(tmp_path / "d.tif", pixels.astype(np.uint16) * 257, compression="zlib")
    tifffile.imwrite(tmp_path / "e.tif", np.stack([pixels] * 3, -1), photometric="rgb")
    tifffile.imwrite(tmp_path / "f.tif", 255 - pixels, photometric="miniswhite")
    Image.fromarray(pixels > 127).save(tmp_path / "g.png")
    for line in open_lines(write(tmp_path, *(path.name for path in sorted(tmp_path.glob("?.*"))), header="file")):
        expected = np.where(pixels > 127, 255, 0) if line.name == "g" else pixels
        read = line.segment.read(line.segment.window)
        assert read.dtype == line.segment.dtype == np.uint8
        np.testing.assert_array_equal(read[0], expected, err_msg=line.name)
    tifffile.imwrite(tmp_path / "h.tif", pixels / np.float32(255))
    (line,) = open_lines(write(tmp_path, "h.tif", header="file"))
    with pytest.raises(SourceError, match=r"h\.tif holds float32"):
        line.segment.read(line.segment.window)


def test_lines_keep_no_more_decoded_than_their_share(tmp_path: Path) -> None:
    for index in range(6):
        Image.fromarray(grey(50, 100, index)).save(tmp_path / f"{index}.png")
    lines = open_lines(write(tmp_path, *(f"{index}.png" for index in range(6)), header="file"))
    recent = Recent(12_000)
    kept = [Line(name=line.name, location=line.location, recent=recent) for line in lines]
    for line in kept:
        read = line.segment.read(line.segment.window)
        assert read.base is None, "no view, which would keep the image"
        assert sum(value.nbytes for value, _ in recent._kept.values()) == recent._spent <= 12_000
    assert len({id(line.recent) for line in lines}) == 1


def test_lines_survive_pickling_without_their_pixels(two: Path) -> None:
    lines = open_lines(write(two, "img/a.png", "img/b.png", header="file"))
    for line in lines:
        line.segment.read(line.segment.window)
    message = pickle.dumps(lines)
    assert len(message) < 4000
    again = pickle.loads(message)
    assert again == lines
    assert again[0].recent is again[1].recent
    for line, expected in zip(again, (grey(64, 180), grey(40, 300, 1)), strict=True):
        np.testing.assert_array_equal(line.segment.read(line.segment.window)[0], expected)


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ((), HEADER, "lists no lines"),
        (("img/a.png",), "path", "column 'file'.*got path"),
        (("img/a.png",), "file,text", "column 'file'.*got file,text"),
        (("img/a.png\tx",), "file", r"Line 2 of .*lines\.tsv should name a file and have 1 fields"),
        (("img/a.png\tx", "img/b.png"), "file\ttext", r"Line 3 of .*have 2 fields \(file, text\)"),
        (("\tx",), "file\ttext", "Line 2 of .*should name a file"),
        (("img/a.png\tx", "img/a.png\ty"), "file\ttext", r"lists img/a\.png more than once"),
        (
            ("", "img/b.png\t", "", "img/a.png\tdev"),
            "file\tsplit",
            "Line 5 of .*or nothing as split; got 'dev'",
        ),
        (("img/a.png\t9.5\t4",), "file\twidth\theight", "Line 2 of .*whole pixels; got 4 and 9.5"),
        (("img/a.png\t0\t4",), "file\twidth\theight", "whole pixels; got 4 and 0"),
    ],
)
def test_what_is_no_list_is_said(two: Path, rows: tuple[str, ...], header: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_lines(write(two, *rows, header=header))


def test_missing_and_damaged_files_are_named(two: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no file at .*gone\.tsv"):
        open_lines(two / "gone.tsv")
    with pytest.raises(SourceNotFoundError, match=r"2 images, of 3, .* img/c\.png, none/a\.png"):
        open_lines(write(two, "img/a.png", "img/c.png", "none/a.png", header="file"))
    (two / "empty.tsv").write_bytes(b"")
    with pytest.raises(SourceError, match="got nothing"):
        open_lines(two / "empty.tsv")
    (two / "latin.tsv").write_bytes("file\ttext\nimg/a.png\tcafé\n".encode("latin-1"))
    with pytest.raises(SourceError, match="UTF-8"):
        open_lines(two / "latin.tsv")
    (line,) = open_lines(write(two, "img/a.png\t181\t64", header="file\twidth\theight"))
    with pytest.raises(SourceError, match=r"a\.png is 64 x 180 px \(H x W\), but its list says 64 x 181"):
        line.segment.read(line.segment.window)
    (two / "img/b.png").write_text("no picture")
    (line,) = open_lines(write(two, "img/b.png", header="file"))
    with pytest.raises(SourceError, match=r"b\.png is damaged"):
        _ = line.segment


def test_a_byte_order_mark_and_windows_line_ends_are_read(two: Path) -> None:
    (two / "lines.tsv").write_bytes(b"\xef\xbb\xbffile\ttext\r\nimg/a.png\tx\r\nimg/b.png\ty\r\n")
    assert [line.text for line in open_lines(two / "lines.tsv")] == ["x", "y"]


@pytest.mark.skipif(not HANDWRITING.exists(), reason="the real handwriting is not beside the repository")
def test_real_words_and_lines_open_without_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_openings(monkeypatch)
    for name, count in (("words", 11_904), ("lines", 2_200)):
        lines = open_lines(HANDWRITING / f"{name}.tsv")
        assert len(lines) == count
        assert len({line.segment.name for line in lines}) == count
        assert {line.segment.shape[:2] for line in lines} == {(1, 64)}
        assert opened == []
    for line in lines[::200]:
        expected = np.asarray(Image.open(line.segment.source).convert("L"))
        np.testing.assert_array_equal(line.segment.read(line.segment.window)[0], expected)
    assert len(opened) == 11
