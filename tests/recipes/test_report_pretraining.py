"""Report on pretraining: losses beside guesses that learn nothing, pictures of the first and the newest epoch."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from volumen.evaluation.baselines import inpaint
from volumen.events import Finished, Scored, Started, Stepped, Warned, result
from volumen.recipes.report import report
from volumen.recipes.reporting import courses
from volumen.recipes.reporting.reconstructions import reconstruction_sheet
from volumen.recipes.reporting.run_record import RunRecord
from volumen.settings import Finetune, PretrainSpark, Report
from volumen.training.run import Run

if TYPE_CHECKING:
    from pathlib import Path

GUESSES = {"mean_patch": 1.02, "nearest_patch": 1.31, "inpaint": 0.88}


def make_run(path: Path, *, epochs: int = 6, reached: float = 0.5, guesses: bool = True, **more: Any) -> Path:
    """Write a run as pretraining leaves it: scored every epoch, probed every third, drawn every second."""
    chosen = PretrainSpark(segments=(str(path.parent / "paper.npy"),), out=str(path), encoder_name="resnet18", **more)
    identity = {"name": "paper", "source": "paper.npy", "shape": [20, 512, 512], "voxels_hash": "ab" * 32}
    recipe = {"verb": "pretrain spark", "settings": chosen.model_dump(mode="json"), "versions": {"torch": "2.9"}}
    run = Run.create(path, {**recipe, "segments": [identity]})
    run.record(Started(work="pretrain spark", total=2 * epochs, unit="steps", device="cpu"))
    run.record(Warned(message="Half of the crops are not papyrus."))
    for epoch in range(1, epochs + 1):
        loss = reached + 0.6 * np.exp(-epoch / 2)
        for step in (1, 2):
            values = {"loss": loss + 0.1 * step, "learning_rate": 1e-3 / epoch, "weight_decay": 0.04 + 0.01 * epoch}
            values["crops_per_second"] = 40.0 + step
            run.record(Stepped(done=2 * epoch - 2 + step, total=2 * epochs, values=values))
        scores = {"loss": loss, "pixel_error": loss / 10, "spread": 0.3 + epoch / 20, "effective_rank": 10.0 + epoch}
        scores |= GUESSES if guesses else {}
        if epoch % 3 == 0:
            scores |= {"probe_auc": 0.6 + epoch / 40, "probe_average_precision": 0.6, "probe_voxels_auc": 0.61}
        run.record(Scored(step=epoch, scores=scores, best=True))
        if epoch == 1 or epoch % 2 == 0:
            draw(path, epoch)
    run.record(Finished(result={"seconds": 75.0}))
    return path


def draw(path: Path, epoch: int) -> None:
    random = np.random.default_rng(epoch)
    images = random.random((2, 1, 64, 96)).cumsum(axis=3) / 96
    visible = np.eye(2, 3, dtype=bool)[None].repeat(2, axis=0)
    (path / "reconstructions").mkdir(exist_ok=True)
    sheet = reconstruction_sheet(images, visible, inpaint(images, visible, 32), patch=32, title=f"epoch {epoch}")
    (path / "reconstructions" / f"epoch_{epoch:04d}.png").write_bytes(sheet)


def write_report(*runs: Path, out: Path) -> str:
    list(report(Report(runs=tuple(map(str, runs)), out=str(out))))
    return (out / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("pretraining")
    run = make_run(folder / "spark", masked=0.75)
    return folder, write_report(run, out=folder / "report")


def test_the_page_tells_the_loss_and_what_guesses_reach(page: tuple[Path, str]) -> None:
    folder, text = page
    loss = RunRecord.read(folder / "spark").value("loss", 6)
    assert loss == pytest.approx(0.5 + 0.6 * np.exp(-3))
    for part in ("Pretraining: spark", "to reconstruct the 75 % of each crop", "epoch 6 was best", f"{loss:.3f}"):
        assert part in text
    assert (
        f"{100 * (1 - loss / 0.88):.0f} % below that of the best guess that learns nothing, smooth inpainting" in text
    )
    for value in GUESSES.values():
        assert f"{value:.3f}" in text
    assert f'<span class="best">{loss:.3f}' in text
    for part in ("AUC 0.750 against 0.610", "effective rank 16.0", "Half of the crops are not papyrus.", "1 min 15 s"):
        assert part in text
    assert "41.5" in text  # crops a second
    assert "abababababab…" in text
    assert "No ink maps were found" not in text
    assert "Share of the patches that are masked" in text  # what the setting does, from the settings' own home


def test_the_first_and_the_newest_sheet_are_on_the_page(page: tuple[Path, str]) -> None:
    folder, text = page
    assert text.index("epoch 6, the newest") < text.index("epoch 1, the first")
    assert "epoch 4" not in text
    figures = folder / "report" / "figures"
    for epoch in (1, 6):
        drawn = (folder / "spark" / "reconstructions" / f"epoch_{epoch:04d}.png").read_bytes()
        assert (figures / f"spark-reconstructions-epoch-{epoch}.png").read_bytes() == drawn


def test_curves_are_drawn_and_tabulated(page: tuple[Path, str]) -> None:
    folder, _ = page
    with open(folder / "report" / "curves.csv", encoding="utf-8") as file:
        rows = {(row["quantity"], int(row["epoch"])): float(row["value"]) for row in csv.DictReader(file)}
    assert rows["spread", 4] == pytest.approx(0.5)
    assert rows["weight_decay", 2] == pytest.approx(0.06)
    assert [epoch for quantity, epoch in rows if quantity == "probe_auc"] == [3, 6]
    names = {path.stem for path in (folder / "report" / "figures").iterdir()}
    assert "reconstruction-loss" in names
    for end in ("feature-spread", "effective-rank-of-the-features", "probe-auc", "learning-rate", "weight-decay"):
        assert f"pretraining-{end}" in names


def test_levels_are_drawn_once_where_runs_agree_and_named_where_they_do_not(tmp_path: Path) -> None:
    runs = [RunRecord.read(make_run(tmp_path / name)) for name in ("one", "two")]
    same = courses.shared_levels(runs, {"inpaint": "inpainting"})
    assert [(level.name, level.y) for level in same] == [("inpainting", 0.88)]
    silent = RunRecord.read(make_run(tmp_path / "three", guesses=False))
    assert courses.shared_levels([runs[0], silent], {"inpaint": "inpainting"}) == same
    four = replace(runs[0], name="four", curves={"inpaint": ((6, 0.7),)})
    differing = courses.shared_levels([runs[0], four], {"inpaint": "inpainting"})
    assert [(level.name, level.y) for level in differing] == [("inpainting, one", 0.88), ("inpainting, four", 0.7)]


def test_a_run_that_does_not_beat_the_guesses_is_told_so(tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path / "weak", reached=1.0), out=tmp_path / "report")
    assert "does not reconstruct better than smooth inpainting" in text
    assert '<span class="best">0.880' in text


def test_pretrainings_are_compared_in_one_plot_and_settings_that_differ_marked(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "short", reached=0.7), make_run(tmp_path / "long", masked=0.5, epochs=9)]
    text = write_report(*runs, out=tmp_path / "report")
    assert "2 runs compared" in text
    assert "held out, at epoch 9 of long" in text
    assert text.count("the newest</figcaption>") == 2
    assert '<code>masked</code></th><td class="differs"><code>0.6' in text


def test_a_pretraining_and_what_was_trained_from_it_share_a_page(tmp_path: Path) -> None:
    first = make_run(tmp_path / "spark")
    chosen = Finetune(segments=("paper.npy",), out=str(tmp_path / "ink"), encoder=str(first / "best.safetensors"))
    second = Run.create(tmp_path / "ink", {"verb": "finetune", "settings": chosen.model_dump(mode="json")})
    second.record(Stepped(done=1, total=1, values={"loss": 0.7}))
    second.record(Scored(step=1, scores={"loss": 0.6, "auc": 0.91}, best=True))
    text = write_report(first, second.path, out=tmp_path / "report")
    names = {path.stem for path in (tmp_path / "report" / "figures").iterdir()}
    assert {"loss", "auc", "reconstruction-loss", "pretraining-learning-rate"} <= names
    assert "volumen · ink detection" in text
    assert "epoch 6, the newest" in text
    assert "No ink maps were found" in text
    assert '<code>masked</code></th><td class="differs"><code>0.6</code></td><td class="differs"><code>–</code>' in text


def test_a_run_that_only_began_has_a_page(tmp_path: Path) -> None:
    chosen = PretrainSpark(segments=("paper.npy",), out=str(tmp_path / "run"))
    Run.create(tmp_path / "run", {"verb": "pretrain spark", "settings": chosen.model_dump(mode="json")})
    events = list(report(Report(runs=(str(tmp_path / "run"),), out=str(tmp_path / "report"))))
    assert result(events)["maps"] == 0
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "has not finished an epoch" in text
    assert "No pictures of reconstructions were drawn" in text
