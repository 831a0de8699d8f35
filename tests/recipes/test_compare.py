"""Comparison: the same data for every cell, the same table however often it was stopped, and numbers that add up."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from volumen import cli, settings
from volumen.errors import CheckpointError, OutputExistsError, SettingsError, SourceError
from volumen.evaluation.masks import score_pixels
from volumen.evaluation.paired import mean_interval, paired_difference
from volumen.events import Finished, Saved, Started, Stepped, result, to_json
from volumen.models.checkpoint import load_checkpoint, save_encoder
from volumen.models.unet import build_unet
from volumen.recipes.compare_ink import compare_ink
from volumen.recipes.comparing.ink import scoring
from volumen.recipes.comparing.ink.cells import Cell, cells_of
from volumen.recipes.comparing.ink.inputs import look
from volumen.recipes.comparing.ink.results import claims
from volumen.recipes.comparing.ink.scoring import RunScores
from volumen.recipes.comparing.ink.story import remarks
from volumen.recipes.comparing.record import Record
from volumen.recipes.evaluate import evaluate
from volumen.recipes.finetune import Trainee, finetune
from volumen.recipes.reporting.run_record import RunRecord
from volumen.settings.comparing import RANDOM
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import open_map
from volumen.sources.synthetic.phantom import make_phantom
from volumen.training.run import Run
from volumen.whole_files import draft_name

ENCODER = "tu-test_resnet"  # 0.4 M weights
SMALL = {
    "layers": 8,
    "window": 64,
    "encoder_name": ENCODER,
    "epochs": 1,
    "batch": 8,
    "learning_rate": 1e-3,
    "views": "flips",
    "device": "cpu",
    "block": 32,
    "resamples": 50,
    "places": 1,
}
FIRST = "model.conv1.0.weight"
TABLES = ("table.csv", "table.md", "curves.csv")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Make a phantom and an encoder file."""
    folder = tmp_path_factory.mktemp("data")
    phantom = settings.Phantom(out=str(folder / "p.zarr"), size=(192, 384), layers=8, seed=1, ink_share=0.2)
    result(make_phantom(phantom))
    for name, layers in (("other", 8), ("three", 3)):
        torch.manual_seed(len(name))
        safetensors.torch.save_file(build_unet(ENCODER, layers).encoder.state_dict(), folder / f"{name}.safetensors")
    return folder


def chosen(data, out, **changes):
    encoder = (str(data / "other.safetensors"),)
    return settings.CompareInk(
        **{**SMALL, "segments": (str(data / "p.zarr"),), "encoder": encoder, "out": str(out), **changes}
    )


@pytest.fixture(scope="module")
def compared(data):
    """Compare at two shares over two seeds: 18 runs."""
    asked = chosen(data, data / "compared", seeds=2, share="0.3,1", ablate_views=True)
    return asked, list(compare_ink(asked))


def runs_of(asked):
    return {
        (cell, seed): Run.open(cell.folder(asked.out, seed)) for cell in cells_of(asked) for seed in asked.all_seeds
    }


def test_every_cell_of_every_seed_is_a_finished_run(compared):
    asked, events = compared
    runs = runs_of(asked)
    assert len(runs) == 2 * (2 * 4 + 1)
    assert all(run.finished for run in runs.values())
    assert events[0] == Started(
        work="compare ink", total=18, unit="runs", detail={"cells": 9, "seeds": 2, "shares": [0.3, 1.0]}
    )
    assert sum(isinstance(event, Saved) and event.what.startswith("run ") for event in events) == 18
    assert sum(isinstance(event, Finished) for event in events) == 1


def test_what_is_held_out_is_the_same_everywhere(compared):
    asked, _ = compared
    runs = runs_of(asked)
    held_out = [run.recipe["held_out"] for run in runs.values()]
    assert all(boxes == held_out[0] for boxes in held_out)
    record = json.loads((Path(asked.out) / "comparison.json").read_text())
    assert record["held_out"] == held_out[0]
    scored = [RunScores.read(run.path) for run in runs.values()]
    assert len({(each.pixels, each.blocks, each.ink_share) for each in scored}) == 1


def test_every_share_takes_the_same_number_of_steps(compared):
    asked, _ = compared
    totals = {
        next(event.total for event in run.events() if isinstance(event, Started)) for run in runs_of(asked).values()
    }
    assert len(totals) == 1


def test_runs_of_a_seed_differ_in_nothing_but_their_cell(compared):
    asked, _ = compared
    for seed in asked.all_seeds:
        runs = [run for (cell, of), run in runs_of(asked).items() if of == seed and cell.augmented]
        told = [
            {
                key: value
                for key, value in run.recipe["settings"].items()
                if key not in ("out", "encoder", "freeze", "label_share")
            }
            for run in runs
        ]
        assert all(each == told[0] for each in told)
        assert told[0]["seed"] == seed


def test_cells_of_a_seed_begin_with_the_same_random_weights(data):
    asked = chosen(data, data / "unused")
    models = {cell.name: Trainee.of(cell.settings(asked, 0)).model.state_dict() for cell in cells_of(asked)}
    other = Trainee.of(cells_of(asked)[0].settings(asked, 1)).model.state_dict()
    file = safetensors.torch.load_file(data / "other.safetensors")
    for name, weight in models["random-frozen"].items():
        assert torch.equal(weight, models["random-full"][name])
        expected = file[name.removeprefix("encoder.")] if name.startswith("encoder.") else weight
        for cell in ("other-frozen", "other-full"):
            assert torch.equal(models[cell][name], expected), name
    assert not torch.equal(models["random-full"]["head.0.weight"], other["head.0.weight"])


def test_frozen_encoders_stay_and_full_ones_learn(compared, data):
    asked, _ = compared
    file = safetensors.torch.load_file(data / "other.safetensors")
    for frozen in (True, False):
        folder = Cell(share=1.0, encoder="other", frozen=frozen).folder(asked.out, 0)
        encoder = load_checkpoint(folder / "best.safetensors")[0].encoder.state_dict()
        assert torch.equal(encoder[FIRST], file[FIRST]) == frozen


def test_scores_are_those_of_the_map_on_the_held_out_pixels(compared, data):
    asked, _ = compared
    segment = open_segment(data / "p.zarr")
    boxes = runs_of(asked)[cells_of(asked)[0], 0].recipe["held_out"]["p"]
    held_out = np.zeros(segment.shape[1:], bool)
    for y0, y1, x0, x1 in boxes:
        held_out[y0:y1, x0:x1] = True
    whole = segment.window
    trusted = held_out & segment.supervised(whole) & (segment.mask.read(whole) > 0.5)
    for cell in cells_of(asked)[:2]:
        folder = cell.folder(asked.out, 1)
        found = RunScores.read(folder)
        ink_map = open_map(folder / "predictions" / "p.zarr")
        expected = score_pixels(ink_map.read(ink_map.window), segment.raster("ink").read(whole), trusted)
        for name in ("auc", "average_precision"):
            assert found.best[name] == pytest.approx(expected[name])
        assert found.pixels == trusted.sum()
        # `volumen evaluate` says the same of the same map, thresholds and all
        alone = settings.Evaluate(
            prediction=str(ink_map.path), segment=str(data / "p.zarr"), block=asked.block, resamples=asked.resamples
        )
        scores = result(evaluate(alone))["held_out"]
        for name in ("iou", "dice", "f05", "auc", "average_precision"):
            assert found.best[name] == pytest.approx(scores[name], nan_ok=True)


def test_maps_are_predicted_with_what_the_runs_were_trained_with(compared, monkeypatch):
    asked, _ = compared
    told = []
    monkeypatch.setattr(scoring, "predict", lambda said: told.append(said) or iter(()))
    record = RunRecord.read(cells_of(asked)[0].folder(asked.out, 0))
    list(scoring._predict(record, 0, asked.model_copy(update={"precision": "bf16", "memory_fraction": 0.5})))
    assert [(said.precision, said.memory_fraction) for said in told] == [("bf16", 0.5)]


def test_the_validation_loss_is_that_of_the_best_and_of_the_last_epoch(compared):
    asked, _ = compared
    for run in runs_of(asked).values():
        found, scores = RunScores.read(run.path), run_result(run)["scores"]
        assert found.best["loss"] == scores["loss"]
        assert found.final == {name: scores[name] for name in ("loss", "auc", "average_precision")}  # of one epoch


def run_result(run):
    return [event for event in run.events() if isinstance(event, Finished)][-1].result


def table(out):
    with open(Path(out) / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_follows_from_the_runs(compared):
    asked, events = compared
    losses = {
        (f"{cell.share:g}", cell.name): [RunScores.read(cell.folder(asked.out, seed)).best["loss"] for seed in (0, 1)]
        for cell in cells_of(asked)
    }
    rows = [row for row in table(asked.out) if (row["score"], row["epoch"]) == ("loss", "best")]
    assert len(rows) == 9 + 2 * 3 + 1
    for row in rows:
        first = losses[row["share"], row["cell"]]
        second = losses[row["share"], row["minus"]] if row["minus"] else None
        estimate = paired_difference(first, second) if second else mean_interval(first)
        assert float(row["mean"]) == pytest.approx(estimate.mean, rel=1e-4, abs=1e-6)
        assert float(row["low_seeds"]) == pytest.approx(estimate.low, rel=1e-4, abs=1e-6)
        assert float(row["high_seeds"]) == pytest.approx(estimate.high, rel=1e-4, abs=1e-6)
        if second:
            assert row["verdict"] == estimate.verdict(lower_is_better=True)
    told = events[-1].result
    assert len(told["scores"]) == 9 * (6 + 3)
    assert len(told["differences"]) == 7 * (6 + 3)
    assert set(told["order"].values()) <= {"holds", "does not hold", "undecided"}


def test_differences_over_blocks_are_taken_draw_by_draw(compared):
    asked, _ = compared
    better, worse = Cell(share=1.0, encoder="other", frozen=False), Cell(share=1.0, encoder=RANDOM, frozen=False)
    draws = [
        np.mean([RunScores.read(cell.folder(asked.out, seed)).draws["auc"] for seed in (0, 1)], axis=0)
        for cell in (better, worse)
    ]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
    row = next(
        row
        for row in table(asked.out)
        if (row["share"], row["cell"], row["minus"], row["score"]) == ("1", better.name, worse.name, "auc")
    )
    assert (float(row["low_blocks"]), float(row["high_blocks"])) == pytest.approx((low, high), rel=1e-4)


def test_the_claims_are_the_report_s_order_for_every_encoder():
    asked = settings.CompareInk(segments=("s",), out="o", encoder=("a.pt", "b.pt"), share="0.1,1")
    found = [(better.share, better.name, worse.name) for better, worse in claims(cells_of(asked))]
    assert found == [
        (share, *pair)
        for share in (0.1, 1.0)
        for name in ("a", "b")
        for pair in (
            (f"{name}-frozen", "random-frozen"),
            ("random-full", f"{name}-frozen"),
            (f"{name}-full", "random-full"),
        )
    ]


class Reader(HTMLParser):
    """Collect text and links, and check that elements close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "link", "img", "br", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if not self.open or self.open[-1] != "style" else ""


def test_the_page_stands_alone_and_shows_all(compared):
    asked, _ = compared
    reader = Reader()
    reader.feed((Path(asked.out) / "report.html").read_text())
    assert reader.open == []
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in reader.links)
    for words in (
        *("random-frozen", "other-full − random-full", "30 % of the labels", "All labels", "held out", "undecided"),
        *(
            "The best epoch was chosen",
            "2 seeds say little",
            "A share of the labels is",
            ENCODER,
            "ink map, other-full",
        ),
    ):
        assert words in reader.text, words
    figures = {path.name for path in (Path(asked.out) / "figures").iterdir()}
    assert {"validation-loss-all-labels.png", "loss-with-and-without-augmentation.png", "auc-by-share.png"} <= figures


def test_a_finished_comparison_only_says_so_again(compared):
    asked, events = compared
    runs = {path: path.stat().st_mtime_ns for path in (Path(asked.out) / "runs").rglob("*") if path.is_file()}
    before = [(Path(asked.out) / name).read_bytes() for name in TABLES]
    again = list(compare_ink(asked.model_copy(update={"resume": True})))
    assert not any(isinstance(event, Stepped) for event in again)
    assert [(Path(asked.out) / name).read_bytes() for name in TABLES] == before
    assert {path: path.stat().st_mtime_ns for path in runs} == runs
    told = [{**one[-1].result, "seconds": 0} for one in (again, events)]
    assert to_json(Finished(result=told[0])) == to_json(Finished(result=told[1]))


def test_a_kill_at_the_very_first_file_leaves_no_stranger(data, tmp_path):
    asked = chosen(data, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / draft_name("comparison.json")).write_text("half")
    Record.begin("compare ink", asked, lambda: look(asked))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["comparison.json"]


def test_damaged_seeds_are_other_settings(data, tmp_path):
    asked = chosen(data, tmp_path / "out")
    file = Record.begin("compare ink", asked, lambda: look(asked)).path / "comparison.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "settings": {**content["settings"], "seeds": "many"}}))
    with pytest.raises(SettingsError, match="seeds was 'many'"):
        Record.begin("compare ink", asked, lambda: look(asked))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 2}, r"epochs was 1, now 2"),
        ({"seeds": 1, "views": "none", "ablate_views": False}, r"views was 'flips', now 'none'.*seeds was 2, now 1"),
        ({"share": "1"}, r"share was '0.3,1', now '1'"),
        ({"encoder": ()}, r"encoder was \[.*other.*\], now \[\]"),
    ],
)
def test_other_settings_are_refused_and_shown(compared, changes, words):
    asked, _ = compared
    before = (Path(asked.out) / "comparison.json").read_bytes()
    with pytest.raises(SettingsError, match=words):
        next(compare_ink(settings.CompareInk(**{**asked.model_dump(), **changes})))
    assert (Path(asked.out) / "comparison.json").read_bytes() == before


def test_another_comparison_is_not_gone_on_with_unasked_nor_is_anything_else_touched(compared, data, tmp_path):
    asked, _ = compared
    with pytest.raises(OutputExistsError, match="holds a comparison already"):
        next(compare_ink(asked.model_copy(update={"resume": False})))
    (tmp_path / "precious.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match="is no comparison"):
            next(compare_ink(chosen(data, tmp_path, overwrite=overwrite)))
    assert (tmp_path / "precious.txt").read_text() == "mine"


def small(data, out, **changes):
    return chosen(data, out, **{"seeds": 1, "save_seconds": 0.0, "epochs": 2, **changes})


@pytest.fixture(scope="module")
def unbroken(data):
    asked = small(data, data / "unbroken")
    result(compare_ink(asked))
    return [(Path(asked.out) / name).read_bytes() for name in TABLES[:2]]


def test_a_comparison_stopped_again_and_again_ends_with_the_same_table(data, unbroken, tmp_path):
    asked = small(data, tmp_path / "compared")
    patience = 23
    stops = 0
    while True:
        events = compare_ink(asked)
        pulled = list(islice(events, patience))
        events.close()
        if isinstance(pulled[-1], Finished):
            break
        stops += 1
    assert stops >= 3
    assert [(Path(asked.out) / name).read_bytes() for name in TABLES[:2]] == unbroken


def test_changed_data_are_noticed(data, tmp_path):
    for name in ("seg.npy", "seg_inklabels.npy", "e.safetensors"):
        source = {"e.safetensors": data / "other.safetensors"}.get(name)
        if source is not None:
            (tmp_path / name).write_bytes(source.read_bytes())
    segment = open_segment(data / "p.zarr")
    np.save(tmp_path / "seg.npy", segment.read(segment.window))
    ink = np.rint(segment.raster("ink").read(segment.window) * 255).astype(np.uint8)
    np.save(tmp_path / "seg_inklabels.npy", ink)
    asked = small(
        data,
        tmp_path / "compared",
        segments=(str(tmp_path / "seg.npy"),),
        ink=(str(tmp_path / "seg_inklabels.npy"),),
        encoder=(str(tmp_path / "e.safetensors"),),
    )
    next(compare_ink(asked))
    state = safetensors.torch.load_file(tmp_path / "e.safetensors")
    safetensors.torch.save_file({**state, FIRST: state[FIRST] + 1}, tmp_path / "e.safetensors")
    with pytest.raises(SourceError, match=r"the encoder file .*e\.safetensors changed"):
        next(compare_ink(asked))
    safetensors.torch.save_file(state, tmp_path / "e.safetensors")
    ink[:8] = 255
    np.save(tmp_path / "seg_inklabels.npy", ink)
    with pytest.raises(SourceError, match="ink_hash of seg changed"):
        next(compare_ink(asked))


def test_an_encoder_for_other_layers_is_refused_before_anything_is_written_or_adapted_and_said(data, tmp_path):
    files = {"encoder": (str(data / "three.safetensors"),)}
    with pytest.raises(CheckpointError, match=r"see 3 input channels .* this model sees 8"):
        next(compare_ink(chosen(data, tmp_path / "out", **files)))
    assert not (tmp_path / "out").exists()
    asked = chosen(data, tmp_path / "out", **files, seeds=1, adapt_channels=True)
    result(compare_ink(asked))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "were adapted" in page
    assert f"{FIRST} adapted from 3 to 8 input channels" in page


def test_a_run_of_a_pretraining_stands_for_its_best_weights(data, tmp_path):
    run = tmp_path / "runs" / "spark"
    run.mkdir(parents=True)
    shutil.copy(data / "other.safetensors", run / "best.safetensors")
    of_file, of_run = (
        look(chosen(data, tmp_path / "out", encoder=(str(path),))) for path in (run / "best.safetensors", run)
    )
    assert of_run["encoders"] == of_file["encoders"]
    assert of_run["encoders"].keys() == {"spark"}


@pytest.mark.parametrize(
    ("spared", "kind", "words"),
    [
        ({"p": [[0, 192, 0, 384]]}, "percentile", ()),
        ({"elsewhere": []}, "percentile", ()),
        ({"p": [[0, 10, 0, 384]]}, "percentile", ("saw held-out voxels of p",)),
        ({"p": [[0, 192, 0, 384]]}, "divide", ("normalised by 'divide'",)),
        (None, "percentile", ("is not known here",)),
    ],
)
def test_what_an_encoder_saw_in_its_pretraining_is_said(compared, data, tmp_path, spared, kind, words):
    torch.manual_seed(0)
    header = {"pretext": "spark", "normalization": {"kind": kind}, **({"held_out": spared} if spared else {})}
    encoder = build_unet(ENCODER, 8).encoder
    save_encoder(tmp_path / "pupil.safetensors", encoder, {"encoder_name": ENCODER, "in_channels": 8}, header)
    asked = chosen(data, tmp_path / "out", encoder=(str(tmp_path / "pupil.safetensors"),))
    record = Record.begin("compare ink", asked, lambda: look(asked))
    runs = {cell: (RunScores.read(next(iter(runs_of(compared[0]).values())).path),) for cell in cells_of(asked)}
    told = [text for text in remarks(asked, record, runs) if "pupil" in text]
    assert len(told) == len(words)
    assert all(word in text for word, text in zip(words, told, strict=True))


def test_finetune_refuses_too_little_of_an_encoder(data, tmp_path):
    state = safetensors.torch.load_file(data / "other.safetensors")
    part = {name: weight for name, weight in state.items() if not name.startswith("model.layer4")}
    safetensors.torch.save_file(part, tmp_path / "part.safetensors")
    cell = Cell(share=1.0, encoder="part", frozen=False)
    asked = chosen(data, tmp_path / "out", encoder=(str(tmp_path / "part.safetensors"),))
    with pytest.raises(CheckpointError, match="fills only"):
        next(finetune(cell.settings(asked, 0)))
    Trainee.of(cell.settings(asked.model_copy(update={"least_loaded": 0.2}), 0))


def test_paper_mode_is_the_report_s_recipe_and_what_is_given_wins():
    asked = settings.CompareInk(segments=("s",), out="o", mode="paper", epochs=3, layers=8)
    given = {name: getattr(asked, name) for name in ("epochs", "layers")}
    assert given == {"epochs": 3, "layers": 8}
    expected = {
        "window": 320,
        "input_size": 224,
        "split": "ordered",
        "held_out_share": 0.1,
        "sampling": "ink",
        "min_ink": 0.05,
        "batch": 32,
        "learning_rate": 1e-4,
        "views": "grand_prize",
    }
    assert {name: getattr(asked, name) for name in expected} == expected
    honest = settings.CompareInk(segments=("s",), out="o")
    assert (honest.split, honest.patience, honest.score) == ("blocks", 0, "loss")
    assert settings.CompareInk.model_validate(asked.model_dump(mode="json")) == asked


def test_paper_mode_runs_and_says_what_it_does_not_show(data, tmp_path):
    asked = chosen(data, tmp_path / "out", mode="paper", seeds=1, input_size=32, encoder=(), stride=32)
    result(compare_ink(asked))
    assert runs_of(asked)[cells_of(asked)[0], 0].recipe["settings"]["split"] == "ordered"
    text = (tmp_path / "out" / "report.html").read_text()
    assert "split off in order" in text
    assert "October report" in text


def test_names_of_encoder_files_tell_them_apart():
    named = {
        ("runs/long/best.safetensors", "runs/short/best.safetensors", "imagenet.pth"): ("long", "short", "imagenet"),
        ("spark/e100.pth", "other/e100.pth", "best.safetensors"): ("spark-e100", "other-e100", "best"),
    }
    for files, names in named.items():
        assert settings.CompareInk(segments=("s",), out="o", encoder=files).encoder_names == names
    for wrong in (("a/random.pth",), ("a/x.pth", "b/a/x.pth"), ("x.pth", "x.pth")):
        with pytest.raises(ValidationError, match="told apart by their names"):
            settings.CompareInk(segments=("s",), out="o", encoder=wrong)


@pytest.mark.parametrize("wrong", ["0", "1.5", "0.1,0.1", "all", ""])
def test_shares_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValidationError, match="share"):
        settings.CompareInk(segments=("s",), out="o", share=wrong)


@pytest.mark.slow
def test_a_comparison_killed_at_random_ends_with_the_same_table(data, unbroken, tmp_path):
    asked = small(data, tmp_path / "compared")
    code = (
        "import sys\nfrom volumen import settings\nfrom volumen.recipes.compare_ink import compare_ink\n"
        "for event in compare_ink(settings.CompareInk.model_validate_json(sys.stdin.read())): print('.', flush=True)"
    )
    generator, kills = random.Random(0), 0
    while True:
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(asked.model_dump_json().encode())
        process.stdin.close()
        told = sum(1 for _ in islice(process.stdout, generator.randint(8, 25)))
        time.sleep(generator.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        if process.wait() == 0:
            break
        assert told >= 8
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    assert [(Path(asked.out) / name).read_bytes() for name in TABLES[:2]] == unbroken


def test_the_command_says_what_does_not_fit_and_writes_nothing(data, tmp_path, capsys):
    asked = ["compare", "ink", str(data / "p.zarr"), "--encoder", str(data / "three.safetensors")]
    asked += ["--out", str(tmp_path / "out"), "--layers", "8", "--window", "64", "--encoder-name", ENCODER]
    assert cli.main([*asked, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "3 input channels" in said
    assert "sees 8" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
