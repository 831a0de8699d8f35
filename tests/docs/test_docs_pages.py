"""The documentation is true: the tutorial runs from top to bottom, and the reference is what the code says."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image, ImageDraw, ImageFont

from volumen import cli
from volumen.cli.arguments import build_parser
from volumen.events import Finished, result
from volumen.models.checkpoint import save_encoder
from volumen.models.unet import build_encoder
from volumen.recipes.verbs import load_recipe

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(600)
def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for language, block in pages("tutorial.md"):
        if language == "python":
            exec(compile(block, "tutorial.md", "exec"), names)
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "volumen"
            assert cli.main(arguments) == 0, line
    assert 0 <= names["scores"]["held_out"]["auc"] <= 1
    assert names["probability"].shape == (1, 64, 64)
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


def test_the_reference_is_what_the_code_says():
    make = runpy.run_path(str(DOCS / "make_reference.py"))["make"]
    assert make() == (DOCS / "reference.md").read_text("utf-8"), "run: python docs/make_reference.py"


def test_the_three_lines_put_an_encoder_into_a_plain_unet_and_a_plain_resnet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = build_encoder("resnet50", 20).eval()
    (tmp_path / "runs" / "spark").mkdir(parents=True)
    save_encoder("runs/spark/best.safetensors", encoder, {"encoder_name": "resnet50", "in_channels": 20}, {})
    names = {"smp": smp, "timm": timm, "safetensors": safetensors}
    blocks = [block for language, block in pages("pretraining.md") if language == "python"]
    assert [len(block.splitlines()) for block in blocks] == [3, 3]
    for block in blocks:
        exec(compile(block, "pretraining.md", "exec"), names)
    image = torch.rand(1, 20, 64, 96)
    with torch.inference_mode():
        ours = encoder(image)[-1]
        assert torch.equal(names["unet"].eval().encoder(image)[-1], ours)
        assert torch.equal(names["resnet"].eval().forward_features(image), ours)


@pytest.mark.parametrize("page", ["../README.md", "pretraining.md", "comparison.md", "reading.md"])
def test_every_command_that_is_shown_can_be_given(page):
    parser = build_parser(cli.VERBS, cli.FAMILIES)
    lines = [line for language, block in pages(page) if language == "console" for line in block.splitlines()]
    lines = [line for line in lines if line.startswith("volumen ")]
    assert lines
    for line in lines:
        options = vars(parser.parse_args(shlex.split(line, comments=True)[1:]))
        verb = " ".join(options.pop(part) for part in ("verb", "task") if part in options)
        cli.VERBS[verb](**options)


def test_the_page_on_reading_runs_on_printed_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_words(tmp_path / "handwriting")
    small = {"height": 32, "model_width": 1 / 16, "batch": 6, "steps": 4, "score_steps": 2, "seeds": 1, "device": "cpu"}
    small |= {"decoder": ("ctc",), "training": ("full",)}
    parser = build_parser(cli.VERBS, cli.FAMILIES)
    names = {}
    for language, block in pages("reading.md"):
        if language == "python":
            exec(compile(block, "reading.md", "exec"), names)
            continue
        for line in block.splitlines():
            options = vars(parser.parse_args(shlex.split(line)[1:]))
            verb = " ".join(options.pop(part) for part in ("verb", "task") if part in options)
            kind = cli.VERBS[verb]
            fewer = {name: value for name, value in small.items() if name in kind.model_fields}
            if verb == "train reader":
                del fewer["decoder"]
            chosen = kind(**{**options, **fewer})
            assert result(load_recipe(verb)(chosen)), line
    assert (tmp_path / "transcripts.tsv").read_text("utf-8").startswith("name\tgroup\ttext\tread\tconfidence\n")
    assert isinstance(names["line"], Finished)


def write_words(folder):
    """Write printed words of a few writers, and a page of them in PAGE XML, as the real ones lie."""
    words = [f"{first}{last}" for first in ("ink", "sea", "fern", "rot", "dew") for last in ("", "s", "ed", "y", "er")]
    rows = ["file\ttext\twriter\tsplit"]
    (folder / "pages_pagexml").mkdir(parents=True)
    page, lines = Image.new("L", (300, 40 * len(words)), 215), []
    for number, text in enumerate(words):
        image = Image.new("L", (20 + 20 * len(text), 40), 215)
        ImageDraw.Draw(image).text((8, 2), text, fill=40, font=ImageFont.load_default(30))
        image.save(folder / f"{number}.png")
        split = ("train", "train", "train", "val", "test")[number % 5]
        rows.append(f"{number}.png\t{text}\thand{number % 5}\t{split}")
        page.paste(image, (0, 40 * number))
        top, right = 40 * number, image.width
        box = f"0,{top} {right},{top} {right},{top + 39} 0,{top + 39}"
        lines.append(f'<TextLine id="l{number}"><Coords points="{box}"/></TextLine>')
    (folder / "words.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    page.save(folder / "pages_pagexml" / "page.png")
    (folder / "pages_pagexml" / "page.xml").write_text(
        '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">'
        f'<Page imageFilename="page.png" imageWidth="300" imageHeight="{page.height}">'
        f'<TextRegion id="r"><Coords points="0,0 299,0 299,{page.height - 1} 0,{page.height - 1}"/>{"".join(lines)}'
        "</TextRegion></Page></PcGts>",
        "utf-8",
    )


def pages(name):
    return FENCE.findall((DOCS / name).read_text("utf-8"))
