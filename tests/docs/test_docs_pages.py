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

from volumen import cli
from volumen.cli.arguments import build_parser
from volumen.models.checkpoint import save_encoder
from volumen.models.unet import build_encoder

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
    parser = build_parser({name: kind for name, (kind, _) in cli.VERBS.items()}, cli.FAMILIES)
    lines = [line for language, block in pages(page) if language == "console" for line in block.splitlines()]
    lines = [line for line in lines if line.startswith("volumen ")]
    assert lines
    for line in lines:
        options = vars(parser.parse_args(shlex.split(line, comments=True)[1:]))
        verb = " ".join(options.pop(part) for part in ("verb", "task") if part in options)
        cli.VERBS[verb][0](**options)


def pages(name):
    return FENCE.findall((DOCS / name).read_text("utf-8"))
