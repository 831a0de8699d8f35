"""Lists of text lines: TSV, IAM, PAGE XML and ALTO."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from harness import Harness, each_way
from pictures import picture
from volumen.sources.lines.line import open_lines
from volumen.sources.lines.read_lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness import Parts

_PAGE = picture(Image.fromarray(np.full((60, 80), 200, np.uint8)), "PNG")


def _door(name: str, folder: Path) -> None:
    for line in read_lines(folder / name).lines:
        volume = line.segment.levels[0]
        _, height, width = volume.shape
        _ = volume[0:1, 0 : min(height, 64), 0 : min(width, 64)]


def _table(folder: Path) -> None:
    each_way(lambda: open_lines(folder / "lines.tsv"), partial(_door, "lines.tsv", folder))


def _tables() -> Iterator[Parts]:
    head = "file\ttext\twriter\tpage\tsplit\twidth\theight\n"
    yield (f"{head}page.png\tτὸ κακόν\tw1\tp1\ttrain\t80\t60\n".encode(),)
    yield ("﻿file\ttext\npage.png\tone two\nmissing/a.png\tx\n".encode(),)
    yield (b"file\r\npage.png\r\n",)


def _iams() -> Iterator[Parts]:
    rows = (
        b"# comment\na01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to\na01-000u-01 err 1 1 1 1 1 1 no\n",
        b"a01-000u-00-00 ok 154 408 768 27 51 AT A\na01-000u-00-01 ok 154 507 766 213 48 NN MOVE\n",
    )
    for row in rows:
        yield row, b"# forms\na01-000u 000 2 prt 7 5 52 36\n", b"a01-000u-00\n"
    yield rows[0], b"", b""


def _iam_images() -> dict[str, bytes]:
    names = ("lines/a01/a01-000u/a01-000u-00.png", "words/a01/a01-000u/a01-000u-00-00.png")
    return dict.fromkeys(names, _PAGE)


def _pages() -> Iterator[Parts]:
    text = "<TextEquiv index='1'><Unicode>{0}</Unicode></TextEquiv>"
    line = "<TextLine id='{1}'><Coords points='5,5 70,5 70,20 5,20'/>" + text + "</TextLine>"
    lines = "".join(line.format(word, word) for word in ("one", "δύο"))
    space = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
    head = f"<?xml version='1.0' encoding='UTF-8'?><PcGts xmlns='{space}'><Page imageFilename='page.png' "
    yield (f"{head}imageWidth='80' imageHeight='60'><TextRegion>{lines}</TextRegion></Page></PcGts>".encode(),)
    old = "<TextLine id='a'><Coords><Point x='1' y='1'/><Point x='9' y='1'/><Point x='9' y='9'/></Coords>"
    words = "<Word><TextEquiv><PlainText>w</PlainText></TextEquiv></Word></TextLine>"
    yield (f"{head}imageWidth='80' imageHeight='60'>{old}{words}</Page></PcGts>".encode(),)
    yield (f"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>{head[38:]}>&b;</Page></PcGts>".encode(),)


def _altos() -> Iterator[Parts]:
    box = "HPOS='5' VPOS='5' WIDTH='60' HEIGHT='20'"
    line = f"<TextLine ID='l1' {box}><String CONTENT='one'/><SP/><String CONTENT='two'/><HYP CONTENT='-'/></TextLine>"
    shape = "<Shape><Polygon POINTS='5,5 70,5 70,20 5,20'/></Shape>"
    drawn = f"<TextLine ID='l2' {box}>{shape}<String CONTENT='three'/></TextLine>"
    for unit in ("pixel", "mm10"):
        about = f"<Description><MeasurementUnit>{unit}</MeasurementUnit><sourceImageInformation>"
        about += "<fileName>page.png</fileName></sourceImageInformation></Description>"
        block = f"<Page WIDTH='80' HEIGHT='60'><PrintSpace><TextBlock>{line}{drawn}</TextBlock></PrintSpace></Page>"
        yield (
            f"<alto xmlns='http://www.loc.gov/standards/alto/ns-v4#'>{about}<Layout>{block}</Layout></alto>".encode(),
        )


_XML = (
    "<!DOCTYPE a [<!ENTITY b 'bbbb'>]>",
    "<!ENTITY",
    "<![CDATA[",
    "&#x0;",
    "encoding='utf-16'",
    "xmlns:a='b'",
    "<?xml",
)

HARNESSES = {
    each.name: each
    for each in (
        Harness(
            name="tsv",
            files=("lines.tsv",),
            door=_table,
            seeds=_tables,
            given=lambda: {"page.png": _PAGE},
            words=("file\t", "text\t", "split\t", "train", "width\t", "height\t"),
            points_elsewhere=True,
        ),
        Harness(
            name="iam",
            files=("lines.txt", "forms.txt", "trainset.txt"),
            door=partial(_door, "lines.txt"),
            seeds=_iams,
            given=_iam_images,
        ),
        Harness(
            name="page xml",
            files=("page.xml",),
            door=partial(_door, "page.xml"),
            seeds=_pages,
            given=lambda: {"page.png": _PAGE},
            words=(*_XML, "<TextLine", "<Coords points=", "<Unicode>", "imageFilename=", "index="),
        ),
        Harness(
            name="alto",
            files=("page.xml",),
            door=partial(_door, "page.xml"),
            seeds=_altos,
            given=lambda: {"page.png": _PAGE},
            words=(*_XML, "<TextLine", "HPOS=", "CONTENT=", "<Polygon POINTS=", "MeasurementUnit"),
        ),
    )
}
