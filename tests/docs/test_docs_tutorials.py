"""Tutorials and guides run from top to bottom in an empty folder; the long ones with fewer steps."""

import pytest
from shown import blocks, carry_out, commands, run_python

from volumen import cli
from volumen.sources.open import open_segment

LINES = {"steps": 4, "score_steps": 2, "warm_up_steps": 1, "model_width": 1 / 16, "batch": 8, "seeds": 1}
PHOTOS = {"epochs": 1, "size": (32, 32), "model_width": 1 / 16, "batch": 16, "pretrain_epochs": 1, "segment_epochs": 1}
INK = {"window": 64, "input_size": 64, "layers": 4, "encoder_name": "resnet18", "epochs": 1, "batch": 8, "seeds": 1}
INK |= {"device": "cpu", "decoder_width": 32, "warm_up_epochs": 0, "resized_crop": False}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.timeout(600)
def test_ink_from_zero(tmp_path):
    names = carry_out("tutorial.md")
    assert 0 <= names["scores"]["held_out"]["auc"] <= 1
    assert names["probability"].shape == (1, 64, 64)
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


def test_handwriting(tmp_path):
    names = carry_out("tutorial_handwriting.md", LINES, {"compare handwriting": {"training": ("full",)}})
    assert len(names["read"]) == 30
    assert (tmp_path / "runs" / "reader" / "report" / "report.html").exists()
    assert (tmp_path / "runs" / "comparison" / "report.html").exists()


def test_characters(tmp_path):
    names = carry_out("tutorial_characters.md", PHOTOS)
    assert {"height", "width", "threshold", "boxes"} <= names["found"].keys()
    assert (tmp_path / "map.png").exists()
    assert (tmp_path / "runs" / "frequent" / "report" / "report.html").exists()


def test_apparel(tmp_path):
    carry_out("tutorial_apparel.md", PHOTOS, {"compare apparel": {"routes": ("scratch", "rotation")}})
    assert (tmp_path / "runs" / "comparison" / "report.html").exists()


def test_own_data():
    names = carry_out("own_data.md")
    mine, phantom = open_segment("mine.zarr"), names["phantom"]
    assert (mine.read(mine.window) == phantom.read(phantom.window)).all()
    assert mine.supervision is not None
    with_findings, without = (line.split()[1:] for line in shown_lines("own_data.md") if "check mine.npy" in line)
    assert cli.main(with_findings[: with_findings.index("#")]) == 1
    assert cli.main(without) == 0


def test_weights_from_elsewhere(tmp_path):
    names = carry_out("foreign_weights.md", others={"finetune": {"layers": 4}})
    assert names["theirs"].finished
    assert (tmp_path / "boxes.json").exists()


def test_memory_and_the_choice_of_a_pretext_task():
    phantom = next(line for line in shown_lines("own_data.md") if line.startswith("volumen phantom"))
    assert cli.main(phantom.split()[1:]) == 0
    carry_out("memory.md", INK, {"predict": {"tile": 128}})
    run_python("tutorial_handwriting.md")
    few = {"compare ink": {"share": (1.0,)}, "compare handwriting": {"training": ("full",), "share": (0.2,)}}
    carry_out("choose_pretext.md", INK | LINES, few)


def shown_lines(page):
    return [line for language, block in blocks(page) if language == "console" for line in commands(block)]
