"""A job file, or a run's recipe, done again ends with equal weights."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from volumen import settings
from volumen.errors import SettingsError, SourceError, SourceNotFoundError
from volumen.events import result
from volumen.recipes.rerun import rerun
from volumen.recipes.verbs import load_recipe
from volumen.settings.job_file import JobFile
from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {
    "layers": 4,
    "window": 32,
    "input_size": 32,
    "encoder_name": "resnet18",
    "epochs": 2,
    "batch": 8,
    "held_out_region": (0, 96, 96, 128),
    "device": "cpu",
}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a segment, and the job file of a training on it."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    np.save(folder / "seg.npy", rng.integers(0, 255, (6, 96, 128), np.uint8))
    ink = np.zeros((96, 128), np.uint8)
    ink[20:40, 10:120] = 255
    np.save(folder / "seg_inklabels.npy", ink)
    chosen = settings.Finetune(
        segments=(str(folder / "seg.npy"),),
        ink=(str(folder / "seg_inklabels.npy"),),
        out=str(folder / "first"),
        **SMALL,
    )
    JobFile("finetune", chosen).write(folder)
    return folder / "job.json"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {**load_file(run / "best.safetensors")}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_job_file_and_the_recipe_it_made_give_equal_weights(job: Path) -> None:
    first, again, third = (job.parent / name for name in ("first", "again", "third"))
    assert result(rerun(settings.Rerun(job=str(job))))["run"] == str(first)
    result(rerun(settings.Rerun(job=str(job.parent), out=str(again))))
    result(rerun(settings.Rerun(job=str(again / "recipe.json"), out=str(third))))
    assert equal(weights(first), weights(again))
    assert equal(weights(first), weights(third))
    recipes = [json.loads((run / "recipe.json").read_text()) for run in (first, third)]
    for recipe in recipes:
        del recipe["settings"]["out"]
    assert recipes[0] == recipes[1]


@pytest.mark.parametrize("met", ["overwrite", "resume"])
def test_a_recipe_replaces_nothing_by_itself_and_goes_on_with_nothing(job: Path, met: str) -> None:
    out = job.parent / f"met-{met}"
    result(rerun(settings.Rerun(job=str(job), out=str(out), **{met: True})))
    before = (out / "events.jsonl").read_bytes()
    with pytest.raises(FileExistsError, match="overwrite"):
        result(rerun(settings.Rerun(job=str(out / "recipe.json"))))
    assert (out / "events.jsonl").read_bytes() == before


def test_an_output_path_that_is_taken_is_said(job: Path, tmp_path: Path) -> None:
    JobFile("phantom", settings.Phantom(out=str(tmp_path / "p.zarr"), size=(64, 64), layers=8)).write(tmp_path)
    result(rerun(settings.Rerun(job=str(tmp_path))))
    with pytest.raises(FileExistsError, match="overwrite"):
        result(rerun(settings.Rerun(job=str(tmp_path))))
    result(rerun(settings.Rerun(job=str(tmp_path), overwrite=True)))


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("{", SourceError, "is damaged"),
        ('{"verb": "finetune"}', SourceError, "verb and its settings"),
        ('{"verb": "sing", "settings": {}}', SettingsError, "'sing'; expected one of demo"),
        ('{"verb": "resume", "settings": {"run": "r", "loud": 1}}', SettingsError, "loud: Extra inputs"),
        ('{"verb": "run", "settings": {"job": "job.json"}}', SettingsError, "only names another file"),
    ],
)
def test_what_is_no_job_is_told_in_words(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(error, match=words):
        result(rerun(settings.Rerun(job=str(tmp_path))))


def test_options_that_the_verb_lacks_are_told(tmp_path: Path) -> None:
    JobFile("resume", settings.Resume(run="runs/a")).write(tmp_path)
    with pytest.raises(SettingsError, match="has no output path"):
        result(rerun(settings.Rerun(job=str(tmp_path), out="elsewhere")))
    with pytest.raises(SettingsError, match="does not know --overwrite"):
        result(rerun(settings.Rerun(job=str(tmp_path), overwrite=True)))
    with pytest.raises(SourceNotFoundError, match=r"job\.json or recipe\.json"):
        result(rerun(settings.Rerun(job=str(tmp_path / "nowhere"))))


def test_every_verb_can_be_a_job() -> None:
    assert all(callable(load_recipe(verb)) for verb in VERBS)


def test_a_conversion_does_not_wait_for_torch(tmp_path: Path) -> None:
    JobFile("phantom", settings.Phantom(out=str(tmp_path / "p.zarr"), size=(64, 64), layers=8)).write(tmp_path)
    program = (
        "import sys; from volumen.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 10 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, "run", str(tmp_path), "--json"], check=False)
    assert done.returncode == 0
