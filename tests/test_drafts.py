"""Drafts: what a kill left is removed by who comes next, and nothing else is."""

from pathlib import Path

import pytest

from volumen.drafts import clear_drafts, draft_of
from volumen.errors import OutputExistsError
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.training.run import Run


def left_behind(path: Path) -> tuple[Path, Path]:
    """Leave a folder and a file as killed processes do."""
    folder, file = draft_of(path), draft_of(path)
    (folder / "inside").mkdir(parents=True)
    file.write_text("half")
    return folder, file


def test_what_was_left_of_an_output_goes_and_all_else_stays(tmp_path: Path) -> None:
    others = [tmp_path / ".ink.zarr.mine", tmp_path / "ink.zarr", *left_behind(tmp_path / "ink.zarr.json")]
    for path in others[:2]:
        path.write_text("mine")
    left_behind(tmp_path / "ink.zarr")
    clear_drafts(tmp_path / "ink.zarr")
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_brackets_in_a_name_are_no_pattern(tmp_path: Path) -> None:
    left_behind(tmp_path / "scroll [1]")
    others = left_behind(tmp_path / "scroll 1")
    clear_drafts(tmp_path / "scroll [1]")
    assert sorted(tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize("make", ["image", "run"])
def test_who_makes_an_output_clears_what_a_kill_left_of_it(tmp_path: Path, make: str) -> None:
    left_behind(tmp_path / "out")
    if make == "image":
        create_pyramid(tmp_path / "out", shape=(8, 8), dtype="u1", chunks=(8, 8), axes="yx")
    else:
        Run.create(tmp_path / "out", {})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_there_is_not_touched_for_it(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "out", {"verb": "finetune"})
    with pytest.raises(OutputExistsError):
        Run.create(tmp_path / "out", {})
    assert Run.open(tmp_path / "out") == run
