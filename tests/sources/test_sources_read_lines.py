"""read_lines: lists, pairs and folders of images read alike, and what is left out is counted by its reason."""

from __future__ import annotations

import os
import pickle
import unicodedata
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

import volumen.sources.lines.line as lines_module
from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.lines.line import open_lines
from volumen.sources.lines.read_lines import read_lines

HANDWRITING = Path(__file__).parents[3] / "shared/data/handwriting"


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (20, 50)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def first(found):  # type: ignore[no-untyped-def]
    return {reason: dropped.first for reason, dropped in found.dropped.items()}


def test_a_table_reads_as_before_but_counts_what_is_missing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png", size=(30, 70))
    (tmp_path / "c.png").write_text("no picture")
    rows = ["a.png\tDec\tp1\tJDH", "b.png\tmy dear\tp2\tJDH", "c.png\tx\tp2\tJDH", "d.png\ty\tp2\tJDH"]
    rows += [f"none/{index}.png\tx\tp3\tJDH" for index in range(5)] + ["a2.png\t \tp3\tJDH"]
    write_image(tmp_path / "a2.png")
    (tmp_path / "lines.tsv").write_text("\n".join(["file\ttext\tpage\twriter", *rows]) + "\n")
    found = read_lines(tmp_path / "lines.tsv")
    assert [(line.name, line.text, line.page, line.writer, line.size) for line in found.lines] == [
        ("a", "Dec", "p1", "JDH", (20, 50)),
        ("b", "my dear", "p2", "JDH", (30, 70)),
    ]
    assert found.transcribed
    assert first(found) == {
        "missing image": ("d.png", "none/0.png", "none/1.png"),
        "unreadable image": ("c",),
        "empty transcript": ("a2",),
    }
    assert found.dropped["missing image"].count == 6
    assert "save or copy it again" in found.dropped["unreadable image"].said
    assert str(found) == (
        f"{tmp_path / 'lines.tsv'}: 2 lines; left out missing image: 6 (d.png, none/0.png, none/1.png …); "
        f"unreadable image: 1 (c), the first: {found.dropped['unreadable image'].said[:-1]}; empty transcript: 1 (a2)"
    )
    assert [line.name for line in read_lines(tmp_path / "lines.tsv", keep_untranscribed=True).lines] == ["a", "b", "a2"]
    with pytest.raises(SourceNotFoundError, match="6 images, of 10"):
        open_lines(tmp_path / "lines.tsv")
    assert read_lines(tmp_path).lines == found.lines


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_seen_as_its_orientation_says(tmp_path: Path, ending: str, orientation: int) -> None:
    upright = np.zeros((16, 48), np.uint8)
    upright[:8, :24] = 90
    upright[8:, 24:] = 220
    turns = {  # what a viewer undoes
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: upright.T,
        6: np.rot90(upright),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turns.get(orientation, upright)))
    stored.save(tmp_path / f"a.{ending}", exif=exif, quality=95)
    (line,) = read_lines(tmp_path).lines
    assert line.size == line.segment.shape[1:] == (16, 48)
    seen = line.segment.read(line.segment.window)[0]
    assert np.abs(seen.astype(int) - upright).mean() < 2


def test_what_a_folder_holds_besides_is_counted(tmp_path: Path) -> None:
    write_image(tmp_path / "lines/a.png")
    write_image(tmp_path / "elsewhere/b.png", 1)
    (tmp_path / "lines/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "lines")
    Image.new("L", (50, 20)).save(tmp_path / "lines/c.bmp")
    (tmp_path / "lines" / os.fsdecode(b"stra\xdfe.png")).write_bytes(b"")
    found = read_lines(tmp_path / "lines")
    assert [line.location.name for line in found.lines] == ["a.png", "b.png"]
    assert first(found) == {
        "image that is no PNG, JPEG or TIFF": ("c.bmp",),
        "file name not in UTF-8": ("stra?e.png",),
    }
    for name in ("a", "c"):
        (tmp_path / f"lines/{name}.gt.txt").write_text(name)
    assert "missing image" not in read_lines(tmp_path / "lines").dropped


def test_a_file_is_found_under_other_spellings_of_its_name(tmp_path: Path) -> None:
    write_image(tmp_path / unicodedata.normalize("NFD", "café.png"))
    table = tmp_path / "lines.tsv"
    table.write_text("file\ttext\n./café.png\tx\n", encoding="utf-8")
    assert [line.size for line in read_lines(table).lines] == [(20, 50)]
    table.write_text("file\ttext\na.png\tx\n./a.png\ty\n")
    with pytest.raises(SourceError, match="more than once"):
        read_lines(table)


def test_quotes_doubled_by_a_table_writer_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    table = tmp_path / "lines.tsv"
    table.write_text('file\ttext\na.png\t"he said ""hi"""\n')
    with pytest.raises(SourceError, match="QUOTE_NONE"):
        read_lines(table)
    table.write_text('file\ttext\na.png\t"hi"\n')
    assert read_lines(table).lines[0].text == '"hi"'


def test_pairs_of_image_and_transcript(tmp_path: Path) -> None:
    expected = write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.jpg")
    write_image(tmp_path / "c.bin.png", 1)
    write_image(tmp_path / "c.nrm.png", 2)
    write_image(tmp_path / "valid/page 7/0.tif")
    write_image(tmp_path / "train/0.png")
    write_image(tmp_path / "alone.png")
    write_image(tmp_path / "latin.png")
    write_image(tmp_path / "blank.png")
    (tmp_path / "notes.md").write_text("not a line")
    texts = {"a": "Fish & chips\n", "b": "\ufeff two  \nlines\t", "c": "c", "valid/page 7/0": "v", "train/0": "t"}
    for stem, text in (texts | {"gone": "x", "blank": "\n"}).items():
        (tmp_path / f"{stem}.gt.txt").write_text(text, encoding="utf-8")
    (tmp_path / "latin.gt.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / ".hidden.gt.txt").write_text("x")
    found = read_lines(tmp_path)
    assert [(line.name, line.text, line.page, line.split) for line in found.lines] == [
        ("a.png", "Fish & chips", "", ""),
        ("b.jpg", "two lines", "", ""),
        ("c.bin.png", "c", "", ""),
        ("train/0.png", "t", "train", "train"),
        ("valid/page 7/0.tif", "v", "valid/page 7", "val"),
    ]
    assert first(found) == {
        "missing image": ("gone.gt.txt",),
        "transcript not in UTF-8": ("latin.gt.txt",),
        "no transcript": ("alone.png",),
        "empty transcript": ("blank.png",),
    }
    np.testing.assert_array_equal(found.lines[0].segment.read(found.lines[0].segment.window)[0], expected)
    kept = read_lines(tmp_path, keep_untranscribed=True)
    assert {line.name for line in kept.lines} - {line.name for line in found.lines} == {"alone.png", "blank.png"}


def test_a_folder_of_images_or_one_image_has_no_transcripts(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.tif"):
        write_image(tmp_path / name)
    (tmp_path / "broken.png").write_text("no picture")
    (tmp_path / "readme.txt").write_text("x")
    (tmp_path / "mets.xml").write_text("<mets/>")
    found = read_lines(tmp_path)
    assert [line.name for line in found.lines] == ["a", "b", "c"]
    assert {line.text for line in found.lines} == {""}
    assert not found.transcribed
    assert first(found) == {"neither PAGE nor ALTO": ("mets.xml",), "unreadable image": ("broken",)}
    assert [line.name for line in pickle.loads(pickle.dumps(found)).lines] == ["a", "b", "c"]
    (line,) = read_lines(tmp_path / "b.png").lines
    assert line.segment.shape == (1, 20, 50)


def test_headers_are_read_and_pixels_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png")

    def never(*_: object) -> None:
        raise AssertionError("pixels were read before they were asked for")

    monkeypatch.setattr(lines_module, "eight_bit", never)
    (line,) = read_lines(tmp_path).lines
    assert line.segment.shape == (1, 20, 50)
    with pytest.raises(AssertionError):
        line.segment.read(line.segment.window)


def write_iam(root: Path) -> None:
    """Write an IAM tree of three forms by two writers, with one error, one missing image, one damaged."""
    words = [
        "#--- words.txt ---",
        "#",
        "a01-000u-00-00 ok 154 408 768 27 51 AT A",
        "a01-000u-00-01 ok 154 507 766 213 48 NN MOVE",
        "a01-000u-00-02 err 154 796 764 70 50 TO to",
        "a01-000x-00-00 ok 170 408 768 27 51 PPS it 's",
        "b02-045-01-00 ok 170 408 768 27 51 NN gone",
        "b02-045-01-01 ok 170 408 768 27 51 NN broken",
        "b02-045-01-02 ok 170 408",
    ]
    lines = [
        "# lines.txt",
        "a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to|stop|Mr.|Gaitskell",
        "a01-000x-00 err 154 19 408 746 1661 89 A|MOVE",
        "b02-045-01 ok 154 19 408 746 1661 89 from|all , the rest",
    ]
    (root / "ascii").mkdir(parents=True)
    (root / "ascii/words.txt").write_text("\n".join(words) + "\n")
    (root / "ascii/lines.txt").write_text("\n".join(lines) + "\n")
    for name in ("a01-000u-00-00", "a01-000u-00-01", "a01-000u-00-02", "a01-000x-00-00"):
        write_image(root / "words/a01" / name[:8] / f"{name}.png")
    (root / "words/b02/b02-045").mkdir(parents=True)
    (root / "words/b02/b02-045/b02-045-01-01.png").write_bytes(b"")
    for name in ("a01-000u-00", "b02-045-01"):
        write_image(root / "lines" / name[:3] / name.rpartition("-")[0] / f"{name}.png")


def test_iam_words_and_lines(tmp_path: Path) -> None:
    write_iam(tmp_path)
    words = read_lines(tmp_path / "ascii/words.txt")
    assert [(line.name, line.text, line.page, line.writer, line.split) for line in words.lines] == [
        ("a01-000u-00-00", "A", "a01-000u", "", ""),
        ("a01-000u-00-01", "MOVE", "a01-000u", "", ""),
        ("a01-000x-00-00", "it 's", "a01-000x", "", ""),
    ]
    assert first(words) == {
        "marked err in the list": ("a01-000u-00-02",),
        "missing image": ("b02-045-01-00",),
        "unreadable image": ("b02-045-01-01",),
        "row without all its fields": ("b02-045-01-02",),
    }
    lines = read_lines(tmp_path / "ascii/lines.txt")
    assert [line.text for line in lines.lines] == ["A MOVE to stop Mr. Gaitskell", "from all , the rest"]
    assert [line.location.name for line in lines.lines] == ["a01-000u-00.png", "b02-045-01.png"]
    with pytest.raises(SourceError, match=r"several lists of lines, ascii/lines\.txt, ascii/words\.txt; name the one"):
        read_lines(tmp_path)


def test_iam_writers_and_splits_come_from_the_files_beside_it(tmp_path: Path) -> None:
    write_iam(tmp_path)
    forms = "# forms\na01-000u 000 2 prt 7 5 52 36\na01-000x 001 2 prt 7 5 52 36\nb02-045 000 2 prt 7 5 52 36\n"
    (tmp_path / "ascii/forms.txt").write_text(forms)
    (tmp_path / "trainset.txt").write_text("a01-000u-00\n")
    (tmp_path / "testset.txt").write_text("b02-045\n")
    words = read_lines(tmp_path / "ascii/words.txt")
    assert [(line.name, line.writer, line.split) for line in words.lines] == [
        ("a01-000u-00-00", "000", "train"),
        ("a01-000u-00-01", "000", "train"),
    ]
    assert first(words)["in none of the split's files"] == ("a01-000x-00-00",)
    lines = read_lines(tmp_path / "ascii/lines.txt")
    assert [(line.writer, line.split) for line in lines.lines] == [("000", "train"), ("000", "test")]


def test_iam_images_in_one_flat_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a01-000u-00-00 ok 154 408 768 27 51 AT A\n")
    write_image(tmp_path / "words/a01-000u-00-00.png")
    (line,) = read_lines(tmp_path).lines
    assert line.text == "A"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("words.txt", "file\ttext\na.png\tx\n", r"words\.txt is no list of IAM.*got 'file text'.*TSV"),
        ("words.txt", "# nothing\n", "lists nothing; expected rows like"),
        ("lines.tsv", "path\na.png\n", "column 'file'"),
        ("lines.tsv", "file\na.png\n", r"Expected lines of text in .*left out missing image: 1 \(a\.png\)"),
        ("lines.csv", "file\na.png\n", r"lines\.csv should be a TSV, an IAM list"),
        ("a.png", "no picture", r"left out unreadable image: 1 \(a\)"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=words):
        read_lines(tmp_path / name)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for name in ("gone.tsv", "words.txt", "gone.xml"):
        with pytest.raises(SourceNotFoundError, match="There is no file at"):
            read_lines(tmp_path / name)
    with pytest.raises(SourceNotFoundError, match="There are no files in"):
        read_lines(tmp_path / "nowhere")
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(SourceError, match="there are none"):
        read_lines(tmp_path)


@pytest.mark.skipif(not HANDWRITING.exists(), reason="the real handwriting is not beside the repository")
def test_the_real_lists_read_whole() -> None:
    for name, count in (("words.tsv", 11_904), ("lines.tsv", 2_200)):
        found = read_lines(HANDWRITING / name)
        assert (len(found.lines), found.dropped) == (count, {})
        assert found.lines == open_lines(HANDWRITING / name)
    assert len({line.page for line in found.lines}) > 50


def test_lists_and_folders_far_away_read_alike(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
        (tmp_path / name).with_suffix(".gt.txt").write_text(name)
    (tmp_path / "b.png").unlink()
    store = fsspec.filesystem("memory")
    store.put(f"{tmp_path}/", "/read_lines/", recursive=True)
    try:
        found = read_lines("memory://read_lines")
        assert [(line.name, line.text, line.size) for line in found.lines] == [("a", "a.png", (20, 50))]
        assert first(found) == {"missing image": ("b.gt.txt",)}
        store.pipe("/read_lines/lines.tsv", b"file\ttext\na.png\tA\nb.png\tB\n")
        found = read_lines("memory://read_lines/lines.tsv")
        assert [line.text for line in found.lines] == ["A"]
        assert first(found) == {"missing image": ("b.png",)}
        with pytest.raises(SourceNotFoundError, match="There are no files in memory://nowhere"):
            read_lines("memory://nowhere")
    finally:
        store.rm("/read_lines", recursive=True)
