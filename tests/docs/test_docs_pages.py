"""The documentation is true: what is made from the code is as the code has it, and every command can be given."""

import re
import runpy
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image
from shown import DOCS, PAGES, blocks, carry_out, columns, commands, parsed, run_python

import volumen
from volumen import cli, settings
from volumen.events import Finished, result
from volumen.models.checkpoint import save_encoder
from volumen.models.unet import build_encoder
from volumen.recipes.families import train
from volumen.sources.labels.beside import NAMES
from volumen.sources.synthetic.phantom import make_phantom

RECIPES = Path(volumen.__file__).parent / "recipes"
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", ["reference", "recorded", "events", "files"])
def test_what_is_made_from_the_code_is_what_the_code_says(page):
    program, make = {
        "reference": ("make_reference.py", "make"),
        "recorded": ("make_recorded.py", "make"),
        "events": ("make_formats.py", "make_events"),
        "files": ("make_formats.py", "make_files"),
    }[page]
    written = runpy.run_path(str(DOCS / program))[make]()
    assert written == (DOCS / f"{page}.md").read_text("utf-8"), f"run: python docs/{program}"


def test_every_name_of_the_front_door_is_on_the_page_about_python():
    told = set(re.findall(r"auto(?:function|class):: volumen\.(\w+)", (DOCS / "api.md").read_text("utf-8")))
    assert told == set(volumen.__all__) - {"settings"}  # settings are the commands' options, on the page about them


def test_every_page_is_in_the_table_of_contents():
    listed = set((DOCS / "index.md").read_text("utf-8").split())
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= listed


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_points_to_is_there(page):
    folder = (DOCS / page).parent
    targets = [target for target, _ in LINK.findall((DOCS / page).read_text("utf-8")) if "://" not in target]
    assert not [target for target in targets if not (folder / target).exists()]


def test_every_picture_is_shown_and_made_by_a_program():
    shown = {Path(target).name for page in PAGES for target, _ in LINK.findall((DOCS / page).read_text("utf-8"))}
    programs = "".join(program.read_text("utf-8") for program in DOCS.glob("make_*.py"))
    for picture in (DOCS / "images").iterdir():
        assert picture.name in shown
        assert f'"{picture.stem.removeprefix("tour_")}"' in programs


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(block) for _, block in blocks(page))])
def test_every_command_that_is_shown_can_be_given(page):
    for line in [line for language, block in blocks(page) if language == "console" for line in commands(block)]:
        verb, options = parsed(line)
        cli.VERBS[verb](**options)


def test_every_finding_of_a_check_is_told_with_its_kind():
    told = columns("own_data.md", "finding")
    code = "".join(path.read_text("utf-8") for path in RECIPES.glob("*.py"))
    kinds = {"broken": "error", "doubtful": "warning"}
    assert told == {name: kinds[kind] for kind, name in re.findall(r"\b(broken|doubtful)\(\s*\"(\w+)\"", code)}


def test_every_name_of_a_raster_is_told():
    assert {raster: name.strip("`") for raster, name in columns("own_data.md", "raster").items()} == NAMES


def test_the_three_lines_put_an_encoder_into_a_plain_unet_and_a_plain_resnet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = build_encoder("resnet50", 20).eval()
    (tmp_path / "runs" / "spark").mkdir(parents=True)
    save_encoder("runs/spark/best.safetensors", encoder, {"encoder_name": "resnet50", "in_channels": 20}, {})
    names = {"smp": smp, "timm": timm, "safetensors": safetensors}
    shown = [block for language, block in blocks("pretraining.md") if language == "python"]
    assert [len(block.splitlines()) for block in shown] == [3, 3]
    for block in shown:
        exec(compile(block, "pretraining.md", "exec"), names)
    image = torch.rand(1, 20, 64, 96)
    with torch.inference_mode():
        ours = encoder(image)[-1]
        assert torch.equal(names["unet"].eval().encoder(image)[-1], ours)
        assert torch.equal(names["resnet"].eval().forward_features(image), ours)


def test_the_page_on_reading_runs_on_drawn_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python("tutorial_handwriting.md")
    Path("handwriting/words.tsv").rename("handwriting/lines.tsv")  # a word is a short line
    small = {"height": 32, "model_width": 1 / 16, "batch": 6, "steps": 4, "score_steps": 2, "seeds": 1, "device": "cpu"}
    small |= {"training": ("full",), "share": (0.2,)}
    names = carry_out("reading.md", small, {"compare handwriting": {"decoder": ("ctc",)}})
    assert (tmp_path / "transcripts.tsv").read_text("utf-8").startswith("name\tgroup\ttext\tread\tconfidence\n")
    assert isinstance(names["event"], Finished)


def test_the_page_on_characters_runs_on_drawn_signs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python("tutorial_characters.md")
    Path("scenes").symlink_to("scene_text")  # what the page's figures are of is made by a program of its own
    small = {"size": (32, 32), "model_width": 1 / 16, "batch": 8, "epochs": 1, "seeds": 1, "device": "cpu"}
    small |= {"held_out_share": 0.25, "threshold": 0.01, "min_area": 1}
    carry_out("characters.md", small, {"compare characters": {"model": ("simple_segnet", "custom_unet")}})
    assert (tmp_path / "boxes.json").exists()
    assert (tmp_path / "runs" / "comparison" / "report.html").exists()


def test_the_page_on_apparel_runs_on_drawn_clothes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python("tutorial_apparel.md")
    small = {"size": (32, 32), "batch": 16, "epochs": 1, "seeds": 1, "device": "cpu", "held_out_share": 0.25}
    small |= {"pretrain_epochs": 1, "segment_epochs": 1, "routes": ("scratch", "segmenter"), "precision": "32"}
    carry_out("apparel.md", small)
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
