"""Reports on runs over photographs: the page says what the runs wrote, also where the photographs are gone."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_compare import Reader as PageReader
from test_recipes_segmenter import SMALL, write_photos

from volumen import settings
from volumen.evaluation.labels import score_tags
from volumen.evaluation.pictures import FOUND, outlined, veil
from volumen.events import result
from volumen.recipes.photos.overlaps import read_overlaps
from volumen.recipes.photos.said_tags import read_said
from volumen.recipes.photos.segmenter import train_segmenter
from volumen.recipes.photos.tagger import train_tagger
from volumen.recipes.report import report
from volumen.recipes.reporting import photo_runs
from volumen.recipes.reporting.run_record import RunRecord


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a segmenter, and above its frozen bottleneck a tagger that tells whether a character is there."""
    folder = tmp_path_factory.mktemp("runs")
    photos = write_photos(folder, count=24)
    lines = photos.read_text("utf-8").splitlines()
    photos.write_text(
        "\n".join(line.replace("\\u4e2d", "\\u56fd") if n % 2 else line for n, line in enumerate(lines)), "utf-8"
    )
    given: dict[str, Any] = {**SMALL, "photos": (str(photos),), "epochs": 1}
    result(train_segmenter(settings.TrainSegmenter(**given, out=str(folder / "found"), model="custom_unet")))
    frozen = {name: value for name, value in given.items() if name not in ("model_width", "encoder_name")}
    chosen = settings.TrainTagger(
        **frozen,
        out=str(folder / "told"),
        encoder=str(folder / "found"),
        encoder_name="custom_unet",
        freeze=True,
        head="mlp",
        pos_weight="balanced",
        tags="中",
    )
    result(train_tagger(chosen))
    return folder


def page_of(runs: Path, out: Path, *names: str) -> str:
    told = result(report(settings.Report(runs=tuple(str(runs / name) for name in names), out=str(out))))
    return Path(told["path"]).read_text("utf-8")


def test_a_segmenter_is_shown_by_its_overlaps_and_its_maps(runs: Path, tmp_path: Path) -> None:
    text = page_of(runs, tmp_path, "found")
    page = PageReader()
    page.feed(text)
    assert page.open == []
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    names, overlap = read_overlaps(runs / "found" / "overlaps.csv")
    for score in overlap.scores(batch=4).values():
        assert f"<td>{score:.3f}<span" in text
    assert f"{len(names)} photographs were scored." in page.text
    for name, found in zip(names, overlap.each(), strict=True):
        assert f"{name} IoU {found:.2f}" in re.sub(r"\s+", " ", page.text)
    assert len(list((tmp_path / "figures").glob("found-*-overlay.png"))) == len(names)
    assert "A custom_unet, started from random weights" in page.text


def test_a_tagger_is_shown_beside_guessing_with_its_characters_outlined(runs: Path, tmp_path: Path) -> None:
    text = page_of(runs, tmp_path, "told")
    said = read_said(runs / "told" / "tags.csv")
    assert said.tags == ("中",)
    record = RunRecord.read(runs / "told")
    assert record.result is not None
    always = 2 * said.truth.mean() / (1 + said.truth.mean())
    assert record.result["guesses"]["always"] == pytest.approx(always)
    assert record.result["guesses"]["never"] == 0
    assert f"<td>{always:.3f}" in text
    better = score_tags(said.said, said.truth)["micro_f1"] - always
    assert f"less that of saying them of every photograph, is {better:+.3f} (95 %" in text
    assert "example by example" not in text.partition('id="training"')[0], "that says nothing of a single tag"
    view = photo_runs.show(record)
    assert view is not None
    shown = {example.name: example for example in view.examples}
    for name, truth, told, probability in zip(said.names, said.truth, said.said, said.probabilities, strict=True):
        if name in shown:
            words = shown[name].words
            assert words.startswith("中 is there" if truth[0] else "中 is not there")
            assert words.endswith("right" if truth[0] == told[0] else "wrong")
            assert f"({probability[0]:.2f})" in words
    assert shown
    there = dict(zip(said.names, said.truth[:, 0].tolist(), strict=True))
    assert {there[name] for name in shown} == {True, False}
    for name, example in shown.items():
        pixels = np.asarray(Image.open(BytesIO(example.panels[0].image)))
        assert (pixels == FOUND).all(axis=-1).any() == there[name]


def test_photographs_that_are_gone_leave_the_scores(runs: Path, tmp_path: Path) -> None:
    aside = runs / "aside"
    (runs / "images").rename(aside)
    try:
        text = page_of(runs, tmp_path, "found", "told")
    finally:
        aside.rename(runs / "images")
    assert text.count("The photographs are no longer where they were.") == 2
    assert "photographs were scored." in text


def test_a_veil_and_outlines_change_what_they_should() -> None:
    photo = np.full((8, 8, 3), 100, np.uint8)
    soft = np.zeros((8, 8))
    soft[2:4, 2:4] = 1
    laid = veil(photo, soft)
    assert (laid[soft == 0] == 100).all()
    np.testing.assert_allclose(laid[2, 2], 0.35 * 100 + 0.65 * np.array(FOUND), atol=0.51)
    drawn = outlined(photo, [[(1, 1), (6, 1), (6, 6), (1, 6)]], FOUND)
    assert (drawn[1, 1:7] == FOUND).all()
    assert (drawn[4, 4] == 100).all()
    assert (photo == 100).all()
