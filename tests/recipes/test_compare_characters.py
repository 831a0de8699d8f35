"""Comparison for characters: a run for every cell and seed, tables that follow from what the runs found."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from test_compare import Reader as PageReader

import volumen
from volumen import settings
from volumen.errors import SettingsError, SourceError, SourceNotFoundError
from volumen.evaluation.intervals import percentile_interval
from volumen.evaluation.paired import mean_interval, paired_difference, verdict_of
from volumen.evaluation.photo_overlap import SCORES, PhotoOverlap
from volumen.events import Finished, Saved, Started, Stepped
from volumen.models.weights import read_safetensors
from volumen.recipes.compare_characters import compare_characters
from volumen.recipes.comparing.characters.cells import CharacterCell, cells_of
from volumen.recipes.comparing.characters.results import claims
from volumen.recipes.comparing.characters.scoring import CharacterScores, check_same_photos
from volumen.recipes.photos.overlaps import read_overlaps
from volumen.sources.synthetic.scenes import Scenery, write_scenes
from volumen.training.run import Run

FEW = {
    "size": 64,
    "model_width": 1 / 16,
    "encoder_name": "resnet18",
    "epochs": 1,
    "batch": 4,
    "held_out_share": 0.4,
    "resamples": 40,
    "examples": 2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write scenes of Pillow's own letters; one holds no character, and of one all is to be ignored."""
    folder = tmp_path_factory.mktemp("scenes")
    Image.fromarray(np.full((96, 96, 3), 90, np.uint8)).save(folder / "wall.png")
    scenery = Scenery(photos=(str(folder / "wall.png"),), fonts=("",), size=64, signs=2, others=())
    lines = list(write_scenes(scenery, folder / "list", count=15))
    for line in lines[:3]:
        line["annotations"] = []
    for line in lines[3:6]:
        line["ignore"].append({"polygon": [[0, 0], [64, 0], [64, 64], [0, 64]]})
    (folder / "list" / "scenes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def chosen(data: Path, out: Path, **changes: Any) -> settings.CompareCharacters:
    return settings.CompareCharacters(**{**FEW, "photos": (str(data / "list"),), "out": str(out), **changes})


@pytest.fixture(scope="module")
def compared(data: Path) -> tuple[settings.CompareCharacters, list[Any]]:
    """Compare two models and two losses over two seeds: eight runs."""
    asked = chosen(data, data / "compared", model="simple_segnet,custom_unet", seeds=2)
    return asked, list(volumen.compare(asked))


def folders(asked: settings.CompareCharacters) -> dict[tuple[CharacterCell, int], Path]:
    return {(cell, seed): cell.folder(asked.out, seed) for cell in cells_of(asked) for seed in asked.all_seeds}


def table(asked: settings.CompareCharacters) -> list[dict[str, str]]:
    with (Path(asked.out) / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_cell_of_every_seed_is_a_finished_run(compared: Any) -> None:
    asked, events = compared
    runs = {key: Run.open(folder) for key, folder in folders(asked).items()}
    assert len(runs) == 2 * 2 * 2
    assert all(run.finished and not run.state_path.exists() for run in runs.values())
    assert (Path(asked.out) / "runs/custom_unet/bce/seed1/best.safetensors").is_file()
    detail = {"cells": 4, "seeds": 2, "shares": [1.0]}
    assert events[0] == Started(work="compare characters", total=8, unit="runs", detail=detail)
    assert sum(isinstance(event, Saved) and event.what.startswith("run ") for event in events) == 8
    assert sum(isinstance(event, Finished) for event in events) == 1


def test_runs_differ_in_nothing_but_their_cell_and_seed(compared: Any) -> None:
    asked, _ = compared
    told = []
    for (cell, seed), folder in folders(asked).items():
        run = Run.open(folder).recipe["settings"]
        told.append({name: value for name, value in run.items() if name not in ("out", "seed", "model", "loss")})
        assert (run["seed"], run["model"], run["loss"]) == (seed, cell.model, cell.loss)
    assert all(one == told[0] for one in told)


def test_the_table_is_what_the_runs_found(compared: Any) -> None:
    asked, events = compared
    scores: dict[tuple[str, str], list[float]] = {}
    draws: dict[tuple[str, str], list[np.ndarray]] = {}
    for (cell, _), folder in folders(asked).items():
        _, overlap = read_overlaps(folder / "overlaps.csv")
        assert len(overlap) == 6
        for name, score in overlap.scores(batch=4).items():
            scores.setdefault((cell.name, name), []).append(score)
            draws.setdefault((cell.name, name), []).append(overlap.draws(batch=4, draws=40)[name])
    rows = table(asked)
    assert len(rows) == (4 + 4) * len(SCORES)
    for row in rows:
        values, drawn = scores[row["cell"], row["score"]], np.mean(draws[row["cell"], row["score"]], axis=0)
        if row["minus"]:
            others = scores[row["minus"], row["score"]]
            estimate = paired_difference(values, others)
            drawn = drawn - np.mean(draws[row["minus"], row["score"]], axis=0)
            by_seeds = estimate.verdict()
            by_draws = verdict_of(*percentile_interval(drawn))
            assert row["verdict"] == (by_seeds if by_seeds == by_draws else "undecided")
        else:
            estimate = mean_interval(values)
        assert float(row["mean"]) == pytest.approx(estimate.mean, rel=1e-4, abs=1e-6)
        assert float(row["low_seeds"]) == pytest.approx(estimate.low, rel=1e-4, abs=1e-6)
        low, high = np.quantile(drawn[np.isfinite(drawn)], [0.025, 0.975])
        assert [float(row["low_photos"]), float(row["high_photos"])] == pytest.approx([low, high], rel=1e-3, abs=1e-5)
    said = events[-1].result
    assert len(said["scores"]) == 4 * len(SCORES)
    assert len(said["differences"]) == 4 * len(SCORES)
    assert json.loads((Path(asked.out) / "comparison.json").read_text())["results"]["scores"] == json.loads(
        json.dumps(said["scores"])
    )


def test_claims_go_up_the_models_and_to_the_first_loss(data: Path) -> None:
    cells = cells_of(chosen(data, data / "x", model="simple_segnet,custom_unet,unet", loss="dice,bce"))
    told = {(better.name, worse.name) for better, worse in claims(cells)}
    assert told == {
        *(("custom_unet-" + loss, "simple_segnet-" + loss) for loss in ("dice", "bce")),
        *(("unet-" + loss, other + loss) for loss in ("dice", "bce") for other in ("simple_segnet-", "custom_unet-")),
        *((f"{model}-dice", f"{model}-bce") for model in ("simple_segnet", "custom_unet", "unet")),
    }


def test_what_is_to_be_ignored_is_scored_nowhere(compared: Any) -> None:
    asked, _ = compared
    lines = [json.loads(line) for line in (Path(asked.photos[0]) / "scenes.jsonl").read_text().splitlines()]
    covered = {line["image_id"] for line in lines if any(region["polygon"][2] == [64, 64] for region in line["ignore"])}
    held = 0
    for folder in folders(asked).values():
        names, overlap = read_overlaps(folder / "overlaps.csv")
        for name, soft, hard in zip(names, overlap.soft, overlap.hard, strict=True):
            if Path(name).stem in covered:
                held += 1
                assert not soft.any()
                assert not hard.any()
    assert held >= 8, "the split should hold out one of them"


def test_the_page_stands_alone_and_shows_each_model(compared: Any) -> None:
    asked, events = compared
    text = Path(events[-1].result["report"]).read_text("utf-8")
    page = PageReader()
    page.feed(text)
    assert page.open == []
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    for cell in cells_of(asked):
        assert text.count(f"overlay, {cell.name}") >= 2
        assert f"soft map, {cell.name}, IoU" in text
    assert "2 seeds say little" in text
    figures = {path.name for path in (Path(asked.out) / "figures").glob("*.png")}
    assert len([name for name in figures if "overlay" in name]) == 2 * 4
    assert any(name.startswith("iou-pooled") for name in figures)
    costs = json.loads((Path(asked.out) / "costs.json").read_text())
    assert costs["custom_unet"]["parameters"] > costs["simple_segnet"]["parameters"] > 0
    markdown = (Path(asked.out) / "table.md").read_text("utf-8")
    assert "| custom_unet-dice − simple_segnet-dice |" in markdown
    assert "| custom_unet |" in markdown


def test_a_comparison_that_was_stopped_goes_on_to_the_same_weights(compared: Any, tmp_path: Path, data: Path) -> None:
    asked, _ = compared
    again = chosen(data, tmp_path / "again", model="simple_segnet", loss="bce")
    again = again.model_copy(update={"seeds": 1})
    events = compare_characters(again)
    assert next(event for event in events if isinstance(event, Stepped)).done == 1  # of three
    events.close()
    list(compare_characters(again))
    (cell,) = cells_of(again)
    ours, theirs = (read_safetensors(cell.folder(out, 0) / "best.safetensors")[0] for out in (again.out, asked.out))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    with pytest.raises(SettingsError, match="epochs was 1, now 2"):
        list(compare_characters(again.model_copy(update={"epochs": 2})))


def test_runs_over_other_photographs_are_no_pairs(compared: Any) -> None:
    asked, _ = compared
    one = CharacterScores.read(next(iter(folders(asked).values())), batch=4, resamples=5)
    empty = PhotoOverlap(soft=one.overlap.soft * 2, hard=one.overlap.hard)
    check_same_photos([one, one])
    with pytest.raises(SourceError, match="other photographs"):
        check_same_photos([one, CharacterScores(**{**vars(one), "overlap": empty})])


def test_what_cannot_be_compared_is_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="once"):
        chosen(data, tmp_path, model="unet,unet")
    with pytest.raises(ValidationError, match="one after another; give devices and num_nodes 1"):
        chosen(data, tmp_path, devices=2)
    with pytest.raises(SourceNotFoundError):
        list(compare_characters(chosen(tmp_path, tmp_path / "out", photos=(str(data / "wall.txt"),))))
