"""Fifty lines learned by heart with each decoder: a reader that cannot do this cannot learn anything.

Real lines are taken where they are at hand: the first fifty training lines of the list that ``VOLUMEN_LINES`` names,
else of ``../shared/data/handwriting/lines.tsv``. Without either, lines are printed.
"""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from volumen.events import result
from volumen.recipes.reading.readings import read_readings
from volumen.recipes.reading.train import train_reader
from volumen.settings import TrainReader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

LINES = 50
SHARED = Path(__file__).parents[3] / "shared" / "data" / "handwriting" / "lines.tsv"
WORDS = "ink papyrus scroll letter dear Hooker seeds ferns orchid Kew garden rain plate index moss root leaf"


def printed(folder: Path) -> list[tuple[Path, str]]:
    """Print lines of three words each; return their files and texts."""
    font, words = ImageFont.load_default(40), WORDS.split()
    found = []
    for number in range(LINES):
        text = " ".join(words[number * step % len(words)] for step in (1, 3, 5)) + f" {number}"
        image = Image.new("L", (int(font.getlength(text)) + 20, 64), 215)
        ImageDraw.Draw(image).text((10, 6), text, fill=40, font=font)
        image.save(folder / f"{number}.png")
        found.append((folder / f"{number}.png", text))
    return found


def real(path: Path) -> list[tuple[Path, str]]:
    """Return the files and texts of the first lines of a list that are to be learned from."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["split"] == "train"]
    return [(path.parent / row["file"], row["text"]) for row in rows[:LINES]]


def by_heart(folder: Path, source: Path | None) -> Path:
    """Write a list whose lines are scored by copies of themselves, since an image is listed once."""
    rows = ["file\ttext\tsplit"]
    for number, (file, text) in enumerate(real(source) if source else printed(folder)):
        for split in ("train", "val", "test"):
            copy = folder / f"{split}{number}{file.suffix}"
            shutil.copyfile(file, copy)
            rows.append(f"{copy.name}\t{text}\t{split}")
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "lines.tsv"


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> Path:
    source = Path(os.environ.get("VOLUMEN_LINES", SHARED))
    return by_heart(tmp_path_factory.mktemp("lines"), source if source.is_file() else None)


@pytest.mark.parametrize("decoder", ["ctc", "attention", "transformer"])
def test_fifty_lines_are_learned_by_heart(decoder, lines, tmp_path) -> None:
    done = result(
        train_reader(
            TrainReader(
                lines=(str(lines),),
                out=str(tmp_path / "run"),
                decoder=decoder,
                features="visual",
                views="none",
                height=48,
                model_width=0.125,
                batch=10,
                steps=3000,
                score_steps=200,
                warm_up_steps=50,
                learning_rate=3e-3,
            )
        )
    )
    read = read_readings(Path(done["readings"]))
    assert len(read) == LINES
    assert done["test"]["cer"] < 0.02
