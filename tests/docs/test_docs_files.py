"""The page about files is true: each is written, and compared with what the page says of it."""

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import zarr
from shown import DOCS, blocks, columns, read_json

from volumen import settings
from volumen.events import Finished, from_json, result
from volumen.recipes.verbs import load_recipe

PAGE = "files.md"
SMALL = {"layers": 4, "window": 64, "encoder_name": "resnet18", "batch": 8, "epochs": 1, "device": "cpu"}


def carry_out(verb, kind, **options):
    return result(load_recipe(verb)(kind(**options)))


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Make one of everything: segment, run, map, scores, boxes, index, places."""
    folder = tmp_path_factory.mktemp("files")
    segment, run, ink = (str(folder / name) for name in ("phantom.zarr", "run", "ink.zarr"))
    carry_out("phantom", settings.Phantom, out=segment, size=(256, 384), layers=16, seed=3)
    carry_out("finetune", settings.Finetune, segments=(segment,), out=run, views="flips", **SMALL)
    carry_out(
        "predict", settings.Predict, checkpoint=run, segment=segment, out=ink, tile=128, device="cpu", export=("png",)
    )
    scores = str(folder / "scores.json")
    carry_out("evaluate", settings.Evaluate, prediction=ink, segment=segment, out=scores, resamples=20, block=32)
    carry_out("report", settings.Report, runs=(run,), out=str(folder / "report"), predictions=(ink,))
    for ending in ("json", "csv"):
        boxes = str(folder / f"boxes.{ending}")
        carry_out("boxes", settings.Boxes, prediction=ink, out=boxes, threshold=0.01, min_area=1)
    index, places, device = str(folder / "index"), str(folder / "places"), {"device": "cpu"}
    carry_out("index", settings.Index, segments=(segment,), encoder=run, out=index, window=32, **device)
    carry_out("search", settings.Search, index=index, at=(("phantom", 64, 64),), k=3, out=places)
    trusted = np.zeros((256, 384), np.uint8)
    trusted[:, :128] = 255
    np.save(folder / "trusted.npy", trusted)
    given = {"checkpoint": run, "segment": segment, "prediction": ink, "supervision": (str(folder / "trusted.npy"),)}
    carry_out("suggest", settings.Suggest, out=str(folder / "next"), n=2, window=32, **given, **device)
    return folder


def test_a_run_folder(work):
    told = columns(PAGE, "file")
    run = work / "run"
    assert {each.name for each in run.iterdir()} == {name.rstrip("/") for name in told if "csv" not in name}
    assert read_json(run / "recipe.json").keys() == columns(PAGE, "key of a recipe").keys()
    events = [from_json(line) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    assert isinstance(events[-1], Finished)


def test_the_header_of_a_checkpoint(work, monkeypatch, capsys):
    monkeypatch.chdir(work)
    (shown,) = [block for language, block in blocks(PAGE) if language == "python"]
    names = {}
    exec(compile(shown, PAGE, "exec"), names)
    assert names["header"].keys() <= columns(PAGE, "key of a header").keys()
    assert capsys.readouterr().out.startswith("[6, 10] ")


def test_an_ink_map(work):
    group = zarr.open_group(work / "ink.zarr", mode="r")
    own = group.attrs["volumen"]
    assert own.keys() == columns(PAGE, "attribute").keys()
    assert own["kind"] == "probability_map"
    assert {"checkpoint", "segment", "region", "plan"} <= own["settings"].keys()
    assert read_json(work / "ink.png.json").keys() == {*own, "map"}
    assert group["0"].shape == (256, 384)
    assert group["0"].chunks == (512, 512)


def test_scores_and_the_tables_of_a_report(work):
    assert read_json(work / "scores.json").keys() == columns(PAGE, "key of scores").keys()
    for name, said in columns(PAGE, "table of a report").items():
        with open(work / "report" / name, encoding="utf-8", newline="") as file:
            header = next(csv.reader(file))
        assert header[:1] == said.split(", ")[:1]
        assert header == said.split(", ") or name == "settings.csv"


def test_boxes(work):
    told = columns(PAGE, "column of boxes").keys()
    listed = read_json(work / "boxes.json")["boxes"]
    assert listed
    assert all(box.keys() == told for box in listed)
    with open(work / "boxes.csv", encoding="utf-8", newline="") as file:
        assert set(next(csv.reader(file))) == told


def test_an_index(work):
    (part,) = (work / "index" / "parts").iterdir()
    there = {each.name for each in (work / "index").iterdir()} | {each.name for each in part.iterdir()}
    page = (DOCS / PAGE).read_text("utf-8")
    layout = page.partition("<!-- index -->")[2].partition("<!-- /index -->")[0]
    assert all(name in layout for name in there)
    corners, vectors = np.load(part / "windows.npy"), np.load(part / "vectors.npy")
    assert (corners.dtype, vectors.dtype) == (np.int32, np.float16)
    assert corners.shape == (len(vectors), 2)


def test_places(work):
    told = set(columns(PAGE, "property of a place"))
    searched = read_json(work / "places" / "places.json")["features"]
    suggested = read_json(work / "next" / "suggestions.json")["features"]
    assert {name for each in (*searched, *suggested) for name in each["properties"]} == told
    assert {each["geometry"]["type"] for each in searched} == {"Polygon"}


def test_the_kinds_of_events_on_the_page_are_those_of_a_line(tmp_path):
    make = runpy.run_path(str(DOCS / "make_formats.py"))
    for event in make["_EXAMPLE"]:
        assert from_json(json.dumps(json.loads(make["events"].to_json(event)))) == event
