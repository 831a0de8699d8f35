"""The documentation is true: the tutorial runs from top to bottom, and the reference is what the code says."""

import json
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image, ImageDraw, ImageFont

from volumen import cli, settings
from volumen.cli.arguments import build_parser
from volumen.events import Finished, result
from volumen.models.checkpoint import save_encoder
from volumen.models.unet import build_encoder
from volumen.recipes.families import train
from volumen.recipes.verbs import load_recipe
from volumen.sources.phantom import make_phantom

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


@pytest.mark.parametrize(
    "page",
    ["../README.md", "pretraining.md", "comparison.md", "reading.md", "characters.md", "apparel.md", "finding.md"],
)
def test_every_command_that_is_shown_can_be_given(page):
    parser = build_parser(cli.VERBS, cli.FAMILIES)
    lines = [line for language, block in pages(page) if language == "console" for line in block.splitlines()]
    lines = [line for line in lines if line.startswith("volumen ")]
    assert lines
    for line in lines:
        options = vars(parser.parse_args(shlex.split(line, comments=True)[1:]))
        verb = " ".join(options.pop(part) for part in ("verb", "word") if part in options)
        cli.VERBS[verb](**options)


def test_the_page_on_reading_runs_on_printed_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_words(tmp_path / "handwriting")
    small = {"height": 32, "model_width": 1 / 16, "batch": 6, "steps": 4, "score_steps": 2, "seeds": 1, "device": "cpu"}
    small |= {"training": ("full",)}
    names = carry_out("reading.md", small, {"compare handwriting": {"decoder": ("ctc",)}})
    assert (tmp_path / "transcripts.tsv").read_text("utf-8").startswith("name\tgroup\ttext\tread\tconfidence\n")
    assert isinstance(names["line"], Finished)


def test_the_page_on_characters_runs_on_drawn_signs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_signs(tmp_path / "scene_text")
    small = {"size": (32, 32), "model_width": 1 / 16, "batch": 4, "epochs": 1, "seeds": 1, "device": "cpu"}
    small |= {"held_out_share": 0.25, "threshold": 0.01, "min_area": 1}
    carry_out("characters.md", small, {"compare characters": {"model": ("simple_segnet", "custom_unet")}})
    assert (tmp_path / "boxes.json").exists()
    assert (tmp_path / "runs" / "comparison" / "report.html").exists()


def test_the_page_on_apparel_runs_on_drawn_clothes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clothes(tmp_path / "apparel")
    small = {"size": (32, 32), "batch": 8, "epochs": 1, "seeds": 1, "device": "cpu", "held_out_share": 0.25}
    small |= {"pretrain_epochs": 1, "segment_epochs": 1, "routes": ("scratch", "segmenter")}
    carry_out("apparel.md", small, {})
    assert (tmp_path / "runs" / "comparison" / "report.html").exists()


def test_the_page_on_finding_runs_on_a_phantom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result(make_phantom(settings.Phantom(out="20230827161847.zarr", size=(256, 256), layers=16, seed=1)))
    small = {"layers": 4, "window": 64, "batch": 4, "epochs": 1, "device": "cpu"}
    run = settings.Finetune(segments=("20230827161847.zarr",), out="runs/first", encoder_name="resnet18", **small)
    result(train(run))
    shutil.copytree("runs/first", "runs/spark")
    trusted = Image.new("L", (256, 256), 0)
    trusted.paste(255, (0, 0, 256, 128))
    trusted.save("trusted.png")
    small = {"window": 32, "device": "cpu", "tile": 64, "n": 2, "at": (("20230827161847", 64, 64),)}
    carry_out("finding.md", small, {"suggest": {"supervision": ("trusted.png",)}})
    assert (tmp_path / "alike" / "places.json").exists()
    assert (tmp_path / "next" / "suggestions.json").exists()


def carry_out(page, small, others):
    """Run every command and every line of Python of a page, with smaller settings, also those of some verbs alone."""
    parser = build_parser(cli.VERBS, cli.FAMILIES)
    names = {}
    for language, block in pages(page):
        if language == "python":
            exec(compile(block, page, "exec"), names)
            continue
        for line in block.splitlines():
            options = vars(parser.parse_args(shlex.split(line)[1:]))
            verb = " ".join(options.pop(part) for part in ("verb", "word") if part in options)
            kind = cli.VERBS[verb]
            fewer = {name: value for name, value in small.items() if name in kind.model_fields} | others.get(verb, {})
            assert result(load_recipe(verb)(kind(**{**options, **fewer}))), line
    return names


def write_signs(folder):
    """Write photographs with two dark squares for signs each, listed as CTW does; the last has none."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(8):
        image = Image.new("RGB", (64, 48), (200, 190, 180))
        signs = [] if number == 7 else [((4 + 2 * number, 6), "中"), ((30, 24), "国" if number % 2 else "中")]
        texts = []
        for (x, y), text in signs:
            ImageDraw.Draw(image).rectangle((x, y, x + 11, y + 11), fill=(20, 30, 90))
            corners = [[x, y], [x + 12, y], [x + 12, y + 12], [x, y + 12]]
            texts.append([{"polygon": corners, "text": text, "is_chinese": True}])
        name = f"img_{number + 10}.jpg"
        image.save(folder / "images" / name)
        rows.append(json.dumps({"file_name": name, "width": 64, "height": 48, "annotations": texts, "ignore": []}))
    (folder / "ctw_style.jsonl").write_text("\n".join(rows) + "\n", "utf-8")


def write_clothes(folder):
    """Write figures in one or two colours with masks and tags, as a table."""
    (folder / "photos").mkdir(parents=True)
    colours = {"dress": (200, 30, 30), "coat": (30, 30, 200), "hat": (30, 160, 30)}
    rows = ["image,mask,labels"]
    for number in range(16):
        tags = [tag for bit, tag in enumerate(colours) if (number % 7 + 1) >> bit & 1]
        image, mask = Image.new("RGB", (40, 48), (230, 230, 225)), Image.new("L", (40, 48), 0)
        for place, tag in enumerate(tags):
            box = (8, 4 + 13 * place, 20 + number, 15 + 13 * place)
            ImageDraw.Draw(image).rectangle(box, fill=colours[tag])
            ImageDraw.Draw(mask).rectangle(box, fill=place + 1)
        image.save(folder / "photos" / f"{number}.png")
        mask.save(folder / "photos" / f"{number}_mask.png")
        rows.append(f"photos/{number}.png,photos/{number}_mask.png,{'|'.join([*tags, 'skin'])}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", "utf-8")


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
