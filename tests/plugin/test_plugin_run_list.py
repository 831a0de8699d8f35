"""Runs and jobs of a folder are found as they stand, and only what changed is read; curves are thinned."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("psutil", reason="needs the extra [napari]")

from volumen.events import Finished, Saved, Scored, Started, Stepped, Warned, to_json
from volumen.plugin.course import Course
from volumen.plugin.job_story import JobStory
from volumen.plugin.run_list import RunList
from volumen.settings import Finetune, Predict, Resume
from volumen.settings.job_file import JobFile

if TYPE_CHECKING:
    from pathlib import Path

    from volumen.events import Event
    from volumen.settings.base import Settings

STEPS = 4
OPENING = Started(work="finetune", total=3 * STEPS, unit="steps", device="cpu", detail={"steps_per_epoch": STEPS})


def epoch(number: int, *, best: bool = True) -> list[Event]:
    steps = [
        Stepped(done=done, total=3 * STEPS, values={"loss": 1 / done})
        for done in range((number - 1) * STEPS + 1, number * STEPS + 1)
    ]
    scores = {"average_precision": 0.2 * number, "auc": 0.3 * number, "loss": 1 - 0.1 * number, "threshold": 0.4}
    return [*steps, Scored(step=number, scores=scores, best=best)]


def write_run(path: Path, *events: Event, **settings: object) -> Path:
    path.mkdir(parents=True)
    (path / "recipe.json").write_text(json.dumps({"verb": "finetune", "settings": settings}))
    (path / "events.jsonl").write_text("".join(to_json(event) + "\n" for event in events))
    return path


def write_job(runs: Path, verb: str, settings: Settings, *events: Event, **process: object) -> None:
    folder = runs / ".jobs" / f"{verb}-{len(os.listdir(runs / '.jobs')) if (runs / '.jobs').exists() else 0}"
    folder.mkdir(parents=True)
    JobFile(verb, settings).write(folder)
    gone = {"pid": 2**22 + 1, "started": time.time(), "host": os.uname().nodename, **process}
    (folder / "process.json").write_text(json.dumps(gone))
    (folder / "events.jsonl").write_text("".join(to_json(event) + "\n" for event in events))


def settle(path: Path, seconds: float = 3600.0) -> None:
    """Let a file look old."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_every_run_is_found_whoever_began_it(tmp_path: Path) -> None:
    write_run(tmp_path / "done", OPENING, *epoch(1), Finished(result={}))
    write_run(tmp_path / "compared" / "runs" / "random", OPENING, *epoch(1), *epoch(2))
    settle(write_run(tmp_path / "left", OPENING) / "events.jsonl")
    (tmp_path / "scan.zarr" / "inside").mkdir(parents=True)
    (tmp_path / "scan.zarr" / "inside" / "recipe.json").write_text("{}")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "recipe.json").write_text("{")
    entries = {entry.name: entry for entry in RunList(tmp_path).look()}
    assert {name: entry.state for name, entry in entries.items()} == {
        "done": "finished",
        "random": "elsewhere",  # written a moment ago, and by no job of this folder
        "left": "unfinished",
    }
    assert entries["random"].progress == "epoch 2 of 3"
    assert entries["random"].brief == "0.4 average precision"
    assert entries["random"].best == "Best, epoch 2: average precision 0.4, AUC 0.6"
    x, y = entries["random"].scores["AUC"]
    assert (x.tolist(), y.tolist()) == ([1, 2], [0.3, 0.6])


def test_only_what_came_is_read_and_a_run_cut_back_is_read_anew(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", OPENING, *epoch(1))
    runs = RunList(tmp_path)
    runs.look()
    with open(run / "events.jsonl", "a") as file:
        file.write("".join(to_json(event) + "\n" for event in epoch(2)))
    (entry,) = runs.look()
    assert entry.losses["held out"][1].tolist() == pytest.approx([0.9, 0.8])
    assert len(entry.losses["training"][0]) == 2 * STEPS
    (run / "events.jsonl").write_text("".join(to_json(event) + "\n" for event in [OPENING, *epoch(1)]))
    (entry,) = runs.look()
    assert len(entry.losses["training"][0]) == STEPS


def test_a_job_and_its_run_are_one_and_other_jobs_stand_by_themselves(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", OPENING, *epoch(1))
    settings = Finetune(segments=("/s.zarr",), out=str(run))
    write_job(tmp_path, "finetune", settings)
    write_job(tmp_path, "resume", Resume(run=str(run)), host="elsewhere")
    ink = Predict(checkpoint=str(run / "best.safetensors"), segment="/s.zarr", out=str(tmp_path / "ink.zarr"))
    write_job(tmp_path, "predict", ink, Finished())
    (tmp_path / "ink.zarr").mkdir()
    write_job(tmp_path, "finetune", settings.model_copy(update={"out": str(tmp_path / "never")}))
    runs = RunList(tmp_path)
    entries = {entry.name: entry for entry in runs.look()}
    assert {name: entry.state for name, entry in entries.items()} == {
        "run": "running",
        "ink.zarr": "finished",
        "never": "failed",
    }
    assert entries["run"].job.verb == "resume", "the latest job tells how the run stands"
    assert entries["run"].settings == {}, "its own, from its recipe"
    assert "start it again" in entries["never"].error
    assert entries["run"].maps == (tmp_path / "ink.zarr",)
    assert entries["ink.zarr"].maps == (tmp_path / "ink.zarr",)
    assert entries["never"].maps == ()


def test_what_did_not_change_stands_as_before(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", OPENING, *epoch(1)[:2])
    write_job(tmp_path, "predict", Predict(checkpoint="w", segment="/s.zarr", out=str(tmp_path / "ink.zarr")))
    runs = RunList(tmp_path)
    before = runs.look()
    assert [now.stands_as(then) for now, then in zip(runs.look(), before, strict=True)] == [True, True]
    with open(run / "events.jsonl", "a") as file:
        file.write(to_json(epoch(1)[2]) + "\n")  # its words stay, its curve grows
    after = {now.name: now.stands_as(then) for now, then in zip(runs.look(), before, strict=True)}
    assert after == {"run": False, "ink.zarr": True}
    (run / "predictions" / "map.zarr").mkdir(parents=True)
    assert next(entry for entry in runs.look() if entry.run).maps == (run / "predictions" / "map.zarr",)


def test_a_look_that_has_no_time_says_that_it_is_behind(tmp_path: Path) -> None:
    for name in "abc":
        write_run(tmp_path / name, OPENING, *epoch(1))
    runs = RunList(tmp_path)
    assert [entry.progress for entry in runs.look(seconds=0.0)] == ["", "", ""]
    assert runs.behind
    assert [entry.progress for entry in runs.look()] == ["epoch 1 of 3"] * 3
    assert not runs.behind
    assert RunList(tmp_path / "nowhere").look() == []


def test_a_course_keeps_the_mean_and_few_points() -> None:
    course = Course(most=100)
    values = np.random.default_rng(0).normal(size=6400)
    for step, value in enumerate(values):
        course.add(step, value)
    assert 50 <= len(course) < 100
    assert course.y.mean() == pytest.approx(values.mean())
    assert np.all(np.diff(course.x) > 0)
    course.add(6400, float("nan"))
    course.add(6400, None)
    assert len(course) < 100


def test_a_course_that_goes_back_forgets_what_it_goes_over() -> None:
    course = Course()
    for step in (1, 2, 3, 4):
        course.add(step, step)
    course.add(3, 30)
    assert course.x.tolist() == [1, 2, 3]
    assert course.y.tolist() == [1, 2, 30]


def test_a_story_says_progress_scores_and_each_message_once() -> None:
    seconds = iter(range(1000))
    story = JobStory(clock=lambda: float(next(seconds)))
    assert story.progress == "Starting…"
    told = [OPENING, Warned(message="dim"), *epoch(1), Saved(path="b", what="best weights")]
    for event in (*told, *epoch(2, best=False), Saved(path="b", what="best weights"), Warned(message="dim")):
        story.hear(event)
    assert story.headline == "finetune on cpu"
    assert story.progress == "epoch 2 of 3 · 1 steps/s · 4 s left"
    assert story.fraction == pytest.approx(2 / 3)
    assert story.best_in_words.startswith("Best, epoch 1: average precision 0.2")
    assert story.messages == [("note", "dim"), ("saved", "Saved: best weights, b")]
    assert story.losses["training"].x.tolist() == [done / STEPS for done in range(1, 2 * STEPS + 1)]
    assert set(story.scores) == {"average precision", "AUC"}
    assert story.result is None
    story.hear(Finished(result={"run": "r"}))
    assert story.result == {"run": "r"}


def test_work_without_epochs_is_told_in_its_own_units() -> None:
    story = JobStory(clock=lambda: 0.0)
    story.hear(Started(work="predict", total=8, unit="tiles"))
    story.hear(Stepped(done=2, total=8))
    assert story.progress == "2 of 8 tiles"
    assert story.best_in_words == story.best_in_brief == ""


def test_what_was_told_before_a_job_went_on_is_no_pace_of_it() -> None:
    seconds = iter(range(1000))
    story = JobStory(clock=lambda: float(next(seconds)))
    for event in (OPENING, *epoch(1)):
        story.hear(event)
    story.pause()
    assert (story.part, story.pace.rate, story.fraction) == (None, 0.0, 0.0)
    assert story.best_in_words.startswith("Best, epoch 1")
    for event in (OPENING, *epoch(2)):
        story.hear(event)
    assert story.losses["training"].x.tolist() == [done / STEPS for done in range(1, 2 * STEPS + 1)]
