"""The probability map: blocks, levels, the journal, and what resuming accepts."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumen.errors import OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.sources.pyramids.halving import halve
from volumen.sources.pyramids.probability_map import create_map, open_map
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.windows import Window

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {"checkpoint": "abc", "plan": {"tile": 512, "region": {"y": (0, 9)}}}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def any_map(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return create_map(tmp_path_factory.mktemp("maps") / "map.zarr", shape=(300, 500), settings={}, block=64)


@given(st.integers(0, 299), st.integers(1, 300), st.integers(0, 499), st.integers(1, 500))
def test_blocks_are_those_that_share_a_pixel(any_map: Any, y: int, height: int, x: int, width: int) -> None:
    window = Window((0, 1), (y, min(300, y + height)), (x, min(500, x + width)))
    every = list(any_map.blocks(any_map.window))
    assert list(any_map.blocks(window)) == [block for block in every if block.overlaps(window)]
    assert sum(block.shape[1] * block.shape[2] for block in every) == 300 * 500


def test_any_order_of_blocks_gives_the_same_levels_and_zeros_need_no_chunk(tmp_path: Path) -> None:
    image = noise(1100, 700)
    image[:256, :256] = 0
    output = create_map(tmp_path / "map.zarr", shape=image.shape, settings={}, block=128)
    blocks = list(output.blocks(output.window))
    np.random.default_rng(0).shuffle(blocks)  # type: ignore[arg-type]
    for block in blocks:
        output.write(block, image[block.yx])
    found = open_map(output.path)
    assert len(found.pyramid.levels) == 2
    np.testing.assert_array_equal(found.read(found.window), image)
    np.testing.assert_array_equal(found.read(Window((0, 1), (0, 550), (0, 350)), level=1), halve(image))
    assert not (output.path / "0" / "c" / "0" / "0").exists()
    assert found.done() == frozenset(blocks)  # the block of zeros too


def test_done_is_what_was_written_and_survives_opening_again(tmp_path: Path) -> None:
    output = create_map(tmp_path / "map.zarr", shape=(300, 500), settings=SETTINGS, block=64)
    assert output.done() == frozenset()
    blocks = list(output.blocks(output.window))
    for block in blocks[3:40:7]:
        output.write(block, noise(*block.shape[1:]))
    again = create_map(tmp_path / "map.zarr", shape=(300, 500), settings=SETTINGS, resume=True)
    assert again.block == 64
    assert again.done() == frozenset(blocks[3:40:7])
    assert not again.finished
    again.finish()
    assert open_map(output.path).finished
    assert open_map(output.path).done() == frozenset(blocks)
    assert sorted(path.name for path in output.path.iterdir()) == ["0", "zarr.json"]


def test_what_is_no_block_is_refused(tmp_path: Path) -> None:
    output = create_map(tmp_path / "map.zarr", shape=(300, 500), settings={}, block=64)
    for window in (
        Window((0, 1), (0, 32), (0, 64)),
        Window((0, 1), (1, 65), (0, 64)),
        Window((0, 1), (0, 128), (0, 64)),
    ):
        with pytest.raises(SettingsError, match="64 px a side"):
            output.write(window, noise(*window.shape[1:]))
    assert output.done() == frozenset()


def test_reading_outside_is_refused(tmp_path: Path) -> None:
    output = create_map(tmp_path / "map.zarr", shape=(300, 500), settings={})
    with pytest.raises(SourceError, match="outside level 0"):
        output.read(Window((0, 1), (0, 301), (0, 500)))


def test_the_record_is_in_the_metadata_beside_ome(tmp_path: Path) -> None:
    output = create_map(
        tmp_path / "map.zarr", shape=(30, 50), settings=SETTINGS, provenance={"volumen": "1.2"}, voxel_um=7.91
    )
    attributes = json.loads((tmp_path / "map.zarr" / "zarr.json").read_text())["attributes"]
    assert attributes["ome"]["version"] == "0.5"
    plain = {"checkpoint": "abc", "plan": {"tile": 512, "region": {"y": [0, 9]}}}
    wanted = {"kind": "probability_map", "settings": plain, "provenance": {"volumen": "1.2"}, "finished": False}
    assert attributes["volumen"] == output.attributes == wanted
    output.finish()
    assert output.attributes == {**wanted, "finished": True}
    assert open_map(output.path).pyramid.voxel_um == 7.91


def test_an_existing_output_needs_a_word(tmp_path: Path) -> None:
    create_map(tmp_path / "map.zarr", shape=(300, 500), settings=SETTINGS)
    with pytest.raises(OutputExistsError, match="already there"):
        create_map(tmp_path / "map.zarr", shape=(300, 500), settings=SETTINGS)


def test_resuming_with_other_settings_names_each_difference(tmp_path: Path) -> None:
    create_map(tmp_path / "map.zarr", shape=(300, 500), settings=SETTINGS)
    other = {"checkpoint": "def", "plan": {"tile": 256, "region": {"y": (0, 9)}}, "mirror": True}
    with pytest.raises(SettingsError) as error:
        create_map(tmp_path / "map.zarr", shape=(300, 501), settings=other, resume=True)
    for difference in (
        "checkpoint is 'abc' there and 'def' here",
        "plan.tile is 512 there and 256 here",
        "mirror is None there and True here",
        "shape is (300, 500) there and (300, 501) here",
    ):
        assert difference in str(error.value)
    assert "region" not in str(error.value)


def test_resuming_what_is_not_there_begins_it(tmp_path: Path) -> None:
    output = create_map(tmp_path / "map.zarr", shape=(30, 50), settings={}, resume=True)
    assert output.done() == frozenset()


def test_resuming_clears_what_a_kill_left(tmp_path: Path) -> None:
    output = create_map(tmp_path / "map.zarr", shape=(30, 50), settings={})
    leftover = output.path / "0" / "c" / "0" / "0.0123.partial"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    create_map(output.path, shape=(30, 50), settings={}, resume=True)
    assert not leftover.exists()


def test_overwriting_replaces_a_map_and_nothing_else(tmp_path: Path) -> None:
    output = create_map(tmp_path / "map.zarr", shape=(30, 50), settings=SETTINGS)
    block = next(output.blocks(output.window))
    output.write(block, noise(30, 50))
    again = create_map(tmp_path / "map.zarr", shape=(40, 50), settings={}, overwrite=True)
    assert again.pyramid.shape == (40, 50)
    assert not again.read(again.window).any()
    assert [path.name for path in tmp_path.iterdir()] == ["map.zarr"]

    volume = create_pyramid(tmp_path / "volume.zarr", shape=(2, 30, 50), dtype="uint8", chunks=(2, 30, 50))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for path in (volume.path, tmp_path / "thesis"):
        with pytest.raises(OutputExistsError, match="not a probability map"):
            create_map(path, shape=(30, 50), settings={}, overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").exists()
    assert (volume.path / "zarr.json").exists()


def test_opening_something_else_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        open_map(tmp_path / "nothing.zarr")
    volume = create_pyramid(tmp_path / "volume.zarr", shape=(2, 30, 50), dtype="uint8", chunks=(2, 30, 50))
    with pytest.raises(SourceError, match="not a probability map"):
        open_map(volume.path)


def test_a_map_that_is_removed_while_it_is_written_is_told(tmp_path: Path) -> None:
    ours = create_map(tmp_path / "map.zarr", shape=(100, 100), settings={}, block=64)
    shutil.rmtree(tmp_path / "map.zarr")
    for block in ours.blocks(ours.window):
        ours.write(block, np.full(block.shape[1:], 9, np.uint8))
    with pytest.raises(SourceNotFoundError, match="is gone, or something else is in its place"):
        ours.finish()
