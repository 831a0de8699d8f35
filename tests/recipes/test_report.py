"""Report: self-contained, true to the files it was made of, and there even when half of them are not."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from volumen.errors import SourceNotFoundError
from volumen.events import Event, Finished, Saved, Scored, Started, Stepped, Warned, result, to_json
from volumen.recipes.evaluate import evaluate
from volumen.recipes.report import report
from volumen.recipes.reporting.exhibit import open_gallery, score
from volumen.recipes.reporting.run_record import RunRecord, read_runs
from volumen.settings import Evaluate, Finetune, Report
from volumen.sources.pyramids.probability_map import create_map

HEIGHT, WIDTH = 256, 384
HELD_OUT = [0, 256, 256, 384]
VOID = {"meta", "link", "img", "br", "source", "hr", "input"}


class Reader(HTMLParser):
    """Collects attributes and text, and checks that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def strokes() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.where(((x // 20) % 3 == 0) & ((y // 32) % 2 == 0), 255, 0).astype(np.uint8)


def make_segment(folder: Path) -> Path:
    random = np.random.default_rng(0)
    np.save(folder / "paper.npy", random.integers(1, 255, (9, HEIGHT, WIDTH)).astype(np.uint8))
    Image.fromarray(strokes()).save(folder / "paper_inklabels.png")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_segment(tmp_path)


def make_run(folder: Path, name: str, *, seed: int = 0, gap: float = 60, **more: Any) -> Path:
    """Write a run as fine-tuning leaves it, with an ink map."""
    run = folder / name
    run.mkdir()
    chosen = Finetune(segments=(str(folder / "paper.npy"),), out=str(run), epochs=3, encoder_name="resnet18", **more)
    recipe = {"verb": "finetune", "settings": chosen.model_dump(mode="json"), "versions": {"torch": "2.9"}}
    recipe["segments"] = [{"name": "paper", "shape": [9, HEIGHT, WIDTH], "ink_hash": "ab" * 32}]
    (run / "recipe.json").write_text(json.dumps(recipe))
    events: list[Event] = [Started(work="finetune", total=6, unit="steps", device="cpu")]
    for epoch in (1, 2, 3):
        for step in (1, 2):
            values = {"loss": 1.0 / epoch + 0.1 * step, "learning_rate": 1e-3 / epoch}
            events.append(Stepped(done=2 * epoch - 2 + step, total=6, values=values))
        events.append(Scored(step=epoch, scores={"auc": 0.6 + 0.1 * epoch + 0.01 * seed, "loss": 0.5}, best=epoch < 3))
    events += [Warned(message="Little background is supervised."), Finished(result={"seconds": 75.0})]
    (run / "events.jsonl").write_text("".join(to_json(event) + "\n" for event in events))
    write_map(run / "predictions" / "paper.zarr", run, seed=seed, gap=gap)
    return run


def write_map(path: Path, run: Path, *, seed: int, gap: float) -> None:
    level = np.clip(np.random.default_rng(seed).normal(90 + gap * (strokes() > 0), 40), 0, 255).astype(np.uint8)
    store = create_map(
        path,
        shape=(HEIGHT, WIDTH),
        settings={"segment": {"name": "paper"}},
        provenance={"held_out": {"paper": [HELD_OUT]}, "checkpoint_path": str(run)},
    )
    for block in store.blocks(store.window):
        store.write(block, level[block.yx])
    store.finish()


def write_report(*runs: Path, out: Path, **more: Any) -> dict[str, Any]:
    return dict(result(report(Report(runs=tuple(map(str, runs)), out=str(out), **more))))


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A folder with a segment, a run of it named ``first`` and a report on that, and the report's events."""
    folder = make_segment(tmp_path_factory.mktemp("single"))
    run = make_run(folder, "first")
    return folder, list(report(Report(runs=(str(run),), out=str(folder / "report"))))


def test_the_page_holds_everything_itself(single: tuple[Path, list[Event]]) -> None:
    page = single[0] / "report" / "report.html"
    reader = read(page)
    pictures = [attributes for tag, attributes in reader.found if tag in ("img", "source")]
    assert len(pictures) > 15
    for attributes in pictures:
        head, data = (attributes.get("src") or attributes.get("srcset") or "").split(",")
        assert head == "data:image/png;base64"
        Image.open(BytesIO(base64.b64decode(data))).verify()
    assert not {"script", "link", "iframe"} & {tag for tag, _ in reader.found}
    targets = [attributes["href"] or "" for tag, attributes in reader.found if tag == "a"]
    names = {attributes.get("id") for _, attributes in reader.found}
    assert targets
    assert all(target.startswith("#") and target[1:] in names for target in targets)
    assert not re.search(r"https?://|url\(|@import", page.read_text(encoding="utf-8"))
    assert not [path for path in page.parent.rglob("*") if path.name.endswith(".tmp")]


def test_the_numbers_are_those_of_evaluate_held_out_first(single: tuple[Path, list[Event]]) -> None:
    folder, finished = single[0], result(single[1])
    ink_map = folder / "first" / "predictions" / "paper.zarr"
    chosen = Evaluate(prediction=str(ink_map), segment=str(folder / "paper.npy"))
    scores = result(evaluate(chosen))
    assert finished["auc"] == {"first": pytest.approx(scores["held_out"]["auc"])}
    text = read(folder / "report" / "report.html").text
    held_out, whole = text.index("Held-out pixels"), text.index("Whole mask")
    for start, stop, scope in ((held_out, whole, "held_out"), (whole, len(text), "whole_mask")):
        shown = text[start:stop]
        for name in ("auc", "f05", "bce"):
            assert f"{scores[scope][name]:.3f}" in shown
            assert f"{scores[scope][f'{name}_low']:.3f}–{scores[scope][f'{name}_high']:.3f}" in shown
    with open(folder / "report" / "scores.csv", encoding="utf-8") as file:
        rows = {(row["scope"], row["score"]): row for row in csv.DictReader(file)}
    for (scope, name), row in rows.items():
        assert float(row["value"]) == pytest.approx(scores[scope][name])
    assert "95 %" in text
    assert "Little background is supervised." in text
    assert "1 min 15 s" in text


def test_runs_are_compared_in_one_table_and_differences_marked(folder: Path) -> None:
    runs = [make_run(folder, "first", gap=80), make_run(folder, "second", seed=1, gap=30, freeze=True, batch=8)]
    finished = write_report(*runs, out=folder / "report")
    reader = read(folder / "report" / "report.html")
    assert finished["auc"]["first"] > finished["auc"]["second"]
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    held_out = text[text.index("<h3>Held-out pixels") : text.index("<h3>Whole mask")]
    assert held_out.count("<tr><th>") == 2 + 1
    assert f'<span class="best">{finished["auc"]["first"]:.3f}' in held_out
    assert f'<span class="best">{finished["auc"]["second"]:.3f}' not in held_out
    marked = re.findall(r"<code>(\w+)</code></th><td class=\"differs\">", text)
    assert sorted(marked) == ["batch", "freeze"]
    assert reader.text.index("freeze") < reader.text.index("learning_rate")
    for panel in ("ink map, first", "ink map, second", "agreement, second"):
        assert panel in reader.text
    with open(folder / "report" / "curves.csv", encoding="utf-8") as file:
        curves = {(row["run"], row["quantity"], row["epoch"]): float(row["value"]) for row in csv.DictReader(file)}
    assert curves["second", "auc", "3"] == pytest.approx(0.91)
    assert curves["first", "train_loss", "2"] == pytest.approx(0.65)  # the mean of the epoch's two steps


def test_the_same_files_make_the_same_pictures(single: tuple[Path, list[Event]]) -> None:
    folder = single[0]
    write_report(folder / "first", out=folder / "again")
    figures = sorted(path.name for path in (folder / "report" / "figures").iterdir())
    assert len(figures) > 10
    for name in figures:
        one, two = (folder / out / "figures" / name for out in ("report", "again"))
        assert one.read_bytes() == two.read_bytes(), name


def test_an_agreement_panel_shows_the_verdict_at_the_threshold(single: tuple[Path, list[Event]]) -> None:
    folder = single[0]
    scores = json.loads((folder / "report" / "scores.json").read_text())["first"]
    colours = np.asarray(Image.open(folder / "report" / "figures" / "paper-place-1-agreement.png")).astype(int)
    level = np.asarray(Image.open(folder / "report" / "figures" / "paper-place-1-ink-map.png"))
    label = np.asarray(Image.open(folder / "report" / "figures" / "paper-place-1-label.png")) > 127
    called = level / 255 >= scores["threshold"]
    spread = colours.max(axis=-1) - colours.min(axis=-1)
    np.testing.assert_array_equal(spread > 40, label | called)
    green = (spread > 40) & (colours.argmax(axis=-1) == 1)
    np.testing.assert_array_equal(green, label & called)


def test_scores_in_the_run_are_shown_while_they_are_of_this_map(folder: Path) -> None:
    run = make_run(folder, "first")
    map_path = run / "predictions" / "paper.zarr"
    chosen = Evaluate(
        prediction=str(map_path), segment=str(folder / "paper.npy"), out=str(run / "scores.json"), block=16
    )
    list(evaluate(chosen))
    record = RunRecord.read(run)
    found = record.scores_of(str(map_path))
    assert found == json.loads((run / "scores.json").read_text())
    exhibit = open_gallery((record,), ()).exhibits[0]
    assert result(score(exhibit, folder / "scores")) == {"scores": found}
    assert not (folder / "scores").exists()
    assert record.scores_of(str(folder / "other.zarr")) is None
    shutil.rmtree(map_path)
    write_map(map_path, run, seed=5, gap=10)  # another map at the same path: its scores are made afresh
    assert record.scores_of(str(map_path)) is None
    assert result(score(exhibit, folder / "scores"))["scores"]["auc"] < found["auc"]


def test_given_maps_find_their_run_by_the_checkpoint_they_record(folder: Path) -> None:
    runs = [make_run(folder, "first"), make_run(folder, "second", seed=1)]
    given = []
    for run in reversed(runs):
        moved = folder / f"{run.name}.zarr"
        shutil.move(run / "predictions" / "paper.zarr", moved)
        given.append(str(moved))
    gallery = open_gallery(read_runs(tuple(map(str, runs))), given)
    assert [(exhibit.name, exhibit.path) for exhibit in gallery.exhibits] == [("second", given[0]), ("first", given[1])]
    assert gallery.notes == ()


def test_missing_data_are_said_and_the_rest_is_shown(folder: Path) -> None:
    run = make_run(folder, "first")
    (folder / "paper.npy").unlink()
    events = list(report(Report(runs=(str(run),), out=str(folder / "report"))))
    assert result(events)["maps"] == 0
    assert any(isinstance(event, Warned) and "paper.npy" in event.message for event in events)
    text = read(folder / "report" / "report.html").text
    assert "cannot be opened" in text
    assert "1 min 15 s" in text


def test_a_run_that_only_began_has_a_page(folder: Path) -> None:
    run = make_run(folder, "first")
    shutil.rmtree(run / "predictions")
    (run / "events.jsonl").unlink()
    finished = write_report(run, out=folder / "report")
    text = read(Path(finished["path"])).text
    assert "has not finished an epoch" in text
    assert "No ink maps were found" in text
    assert "learning_rate" in text


def test_a_segment_without_a_label_shows_pictures_without_scores(folder: Path) -> None:
    run = make_run(folder, "first")
    (folder / "paper_inklabels.png").unlink()
    finished = write_report(run, out=folder / "report")
    assert finished["maps"] == 1
    assert finished["auc"] == {}
    text = read(folder / "report" / "report.html").text
    assert "Strongest prediction" in text
    assert "Held-out pixels" not in text


def test_names_are_text_not_markup(folder: Path) -> None:
    write_report(make_run(folder, "a<b>&c"), out=folder / "report")
    reader = read(folder / "report" / "report.html")
    assert "a<b>&c" in reader.text
    assert "<b>&c" not in (folder / "report" / "report.html").read_text(encoding="utf-8")


def test_runs_of_one_name_are_told_apart(folder: Path) -> None:
    for parent in ("x", "y"):
        (folder / parent).mkdir()
    paths = [str(make_run(folder / parent, "run")) for parent in ("x", "y")]
    assert [run.name for run in read_runs((*paths, paths[0]))] == ["x/run (1)", "y/run (2)", "x/run (3)"]
    assert [run.name for run in read_runs(tuple(paths))] == ["x/run", "y/run"]


def test_a_folder_that_is_no_run_is_an_error(folder: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"recipe\.json"):
        write_report(folder, out=folder / "report")
    assert not (folder / "report").exists()


def test_the_last_words_name_the_page(single: tuple[Path, list[Event]]) -> None:
    folder, events = single
    saved = [event.path for event in events if isinstance(event, Saved) and event.what == "report"]
    assert saved == [str(folder / "report" / "report.html")] == [result(events)["path"]]
    stepped = [event for event in events if isinstance(event, Stepped)]
    assert stepped[-1].done == stepped[-1].total
