"""Folders of ours, as somebody else may hand them on: job files, recipes, events, runs and indices."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import Harness, each_way
from volumen.cli.arguments import build_parser
from volumen.events import Finished, Saved, Scored, Started, Stepped, TileWritten, Transcribed, Warned, to_json
from volumen.recipes.finding.search import search
from volumen.recipes.reporting.run_record import RunRecord
from volumen.recipes.resume import resume
from volumen.recipes.verbs import load_recipe
from volumen.run_folder import RunFolder
from volumen.settings import Finetune, Resume, Search
from volumen.settings.command import command_line
from volumen.settings.job_file import JobFile
from volumen.settings.verbs import VERBS
from volumen.tail import Tail
from volumes import npy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness import Parts

PARSER = build_parser(VERBS, {"pretrain": "", "train": "", "compare": ""})

for _verb in VERBS:
    load_recipe(_verb)  # now, rather than within the time and memory of an input


def parsed(arguments: list[str]) -> tuple[str, Any]:
    """Return the verb and the settings that arguments stand for."""
    options = vars(PARSER.parse_args(arguments))
    options.pop("json", None), options.pop("debug", None)
    verb = " ".join(options.pop(part) for part in ("verb", "word") if part in options)
    return verb, VERBS[verb](**options)


def _job(folder: Path) -> None:
    job = JobFile.read(folder / "job.json")
    again = parsed(command_line(job.verb, job.settings))
    if again != (job.verb, job.settings):
        raise AssertionError(f"{job} is another on the command line: {again}")
    each_way(lambda: job.elsewhere("other"), lambda: job.told(resume=True))
    job.write(folder)


def _events(folder: Path) -> None:
    Tail(folder / "run" / "events.jsonl").read()
    run = RunFolder.open(folder / "run")
    list(run.events())
    _record(folder)


def _record(folder: Path) -> None:
    record = RunRecord.read(folder / "run")
    said = (record.verb, record.epochs, record.pace, record.segments, record.maps, record.sheets)
    for index in range(len(said[3])):
        record.labels(index)
    record.value("auc"), record.scores_of("map.zarr")


def _run(folder: Path) -> None:
    each_way(partial(_record, folder), lambda: list(islice(resume(Resume(run=str(folder / "run"))), 3)))


def _index(folder: Path) -> None:
    index = str(folder / "index")
    each_way(
        lambda: list(search(Search(index=index, at=("a:8,8",), k=3, comparison="plain"))),
        lambda: list(search(Search(index=index, at=("a:8,8",), k=3))),
    )


def _jobs() -> Iterator[Parts]:
    for verb, given in _LEAST.items():
        settings = VERBS[verb](**given).model_dump(mode="json")
        yield (json.dumps({"verb": verb, "settings": settings}).encode(),)


_LEAST: dict[str, dict[str, Any]] = {
    "finetune": {"segments": ("a.zarr",), "out": "run", "layers": "22:42", "window": 64},
    "predict": {"checkpoint": "m.safetensors", "segment": "a.zarr", "out": "ink.zarr", "region": "0:64,0:64"},
    "resume": {"run": "run"},
    "search": {"index": "index", "at": ("a:1,2",)},
    "pretrain spark": {"segments": ("a.zarr",), "out": "run"},
    "train reader": {"lines": ("lines.tsv",), "out": "run"},
    "download": {"segments": ("20230827161847",), "region": "0:10,0:10", "layers": "1:3"},
    "run": {"job": "job.json"},
}

_EVENTS = (
    Started(work="finetune", total=2, unit="epochs", device="cpu", detail={"a": 1}),
    Stepped(done=1, total=2, values={"loss": 0.5, "learning_rate": 0.1, "crops_per_second": 3.0}),
    Scored(step=1, scores={"auc": 0.7, "loss": 0.4}, best=True),
    TileWritten(done=1, total=2, box=(0, 1, 2, 3)),
    Transcribed(done=1, total=2, name="a", text="τὸ", confidence=0.5),
    Saved(path="x", what="map"),
    Warned(message="dim"),
    Finished(result={"scores": {"auc": 0.7}}),
)


def _stories() -> Iterator[Parts]:
    yield ("".join(to_json(event) + "\n" for event in _EVENTS).encode(),)
    yield (to_json(_EVENTS[0]).encode() + b"\nnot an event\n",)


def _runs() -> Iterator[Parts]:
    settings = Finetune(segments=("nowhere.zarr",), out="run", layers=2, window=32).model_dump(mode="json")
    recipe = {"verb": "finetune", "settings": settings, "versions": {}, "segments": [{"source": "a"}]}
    story = "".join(to_json(event) + "\n" for event in _EVENTS[:4]).encode()
    scores = {"prediction": "map.zarr", "histograms": {}, "scores": {"auc": 0.5}}
    yield json.dumps(recipe).encode(), story, json.dumps(scores).encode()
    for verb in (
        "pretrain spark",
        "train reader",
        "pretrain seqclr",
        "pretrain photos",
        "train tagger",
        "train segmenter",
    ):
        yield json.dumps({"verb": verb, "settings": {"out": "run"}, "segments": []}).encode(), b"", b""


def _indices() -> Iterator[Parts]:
    embedding = {"window": 16, "channels": 3, "numbers": "float32", "stage": 5, "norms": "kept"}
    head = {"kind": "window_index", "version": 1, "embedding": embedding}
    segment = {"name": "a", "shape": [4, 64, 64], "dtype": "uint8"}
    job = {"segment": segment, "source": "a.zarr", "layers": [0, 4], "reverse": False, "windows": 9, "batch": 16}
    corners = np.stack(np.meshgrid((0, 16, 32), (0, 16, 32), indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int32)
    vectors = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    told = json.dumps({"job": job, "total": 1}).encode()
    yield json.dumps(head).encode(), told, b"\1", npy(corners), npy(vectors)


_PART = ("job.json", "done", "windows.npy", "vectors.npy")

HARNESSES = {
    each.name: each
    for each in (
        Harness(name="recipes", files=("job.json",), door=_job, seeds=_jobs),
        Harness(
            name="events",
            files=("run/events.jsonl",),
            door=_events,
            seeds=_stories,
            given=lambda: {"run/recipe.json": b'{"verb": "finetune", "settings": {}}'},
            words=("event", "scored", "stepped", "values", "scores", "done", "total", "box", "result"),
        ),
        Harness(
            name="run folder",
            files=("run/recipe.json", "run/events.jsonl", "run/scores.json"),
            door=_run,
            seeds=_runs,
            points_elsewhere=True,
        ),
        Harness(
            name="index folder",
            files=("index/index.json", *(f"index/parts/0001-a-x/{name}" for name in _PART)),
            door=_index,
            seeds=_indices,
        ),
    )
}
