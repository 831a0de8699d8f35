"""Writer: labels come back from disk as they were on the screen, in any of the forms that a person may choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("napari", reason="needs the extra [napari]")

from napari.components import ViewerModel

from volumen.errors import LabelError, OutputExistsError
from volumen.plugin import writer
from volumen.plugin.beginning import Beginning
from volumen.plugin.layers import LayerOrigin
from volumen.plugin.painted_window import Grid
from volumen.plugin.painting import Painting
from volumen.plugin.writer import write_labels
from volumen.sources.labels.painted import INK, classes_of, open_painted
from volumen.sources.open import open_segment
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.windows import Window

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 700


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    return create_pyramid(tmp_path / "s.zarr", shape=(3, SIDE, SIDE), dtype="uint8", chunks=(3, 512, 512)).path


@pytest.fixture
def classes() -> Any:
    """Three classes at random, as 64-bit integers, like a layer that somebody else made."""
    return np.random.default_rng(0).integers(0, 3, (SIDE, SIDE))


def found(path: Path, **rasters: Any) -> Any:
    """Classes as a fresh reader of the segment finds them."""
    opened = open_segment(path, **rasters)
    pixels = [opened.raster(name).pixels[0:SIDE, 0:SIDE] for name in ("ink", "supervision")]
    return classes_of(*pixels)


def test_into_a_segment_as_its_next_version(segment: Path, classes: Any) -> None:
    first = write_labels(str(segment), classes, {})
    np.testing.assert_array_equal(found(segment), classes)
    second = write_labels(str(segment), classes[::-1], {})
    np.testing.assert_array_equal(found(segment), classes[::-1])
    assert set(first).isdisjoint(second)
    np.testing.assert_array_equal(found(segment, ink=first[0], supervision=first[1]), classes)


@pytest.mark.parametrize("name", ["mine.png", "mine_inklabels.png", "mine_supervision_mask.png", "mine.zarr"])
def test_as_two_files_that_training_takes(segment: Path, classes: Any, tmp_path: Path, name: str) -> None:
    written = write_labels(str(tmp_path / name), classes, {})
    ending = ".png" if name.endswith(".png") else ".zarr"
    names = [path.rpartition("/")[2] for path in written]
    assert names == [f"mine_inklabels{ending}", f"mine_supervision_mask{ending}"]
    np.testing.assert_array_equal(found(segment, ink=written[0], supervision=written[1]), classes)


def test_pictures_are_replaced_and_stores_are_not(segment: Path, classes: Any, tmp_path: Path) -> None:
    for name in ("mine.png", "mine.zarr"):
        write_labels(str(tmp_path / name), classes, {})
    written = write_labels(str(tmp_path / "mine.png"), classes[::-1], {})
    np.testing.assert_array_equal(np.asarray(Image.open(written[0])) == 255, classes[::-1] == INK)
    with pytest.raises(OutputExistsError, match="already there"):
        write_labels(str(tmp_path / "mine.zarr"), classes, {})


@pytest.mark.parametrize(
    "data", [np.full((SIDE, SIDE), 3), np.zeros((2, SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), -1)]
)
def test_other_classes_and_stacks_are_refused(segment: Path, data: Any) -> None:
    with pytest.raises(LabelError, match="1 for background and 2 for"):
        write_labels(str(segment), data, {})
    assert open_segment(segment).ink is None


def test_labels_of_another_size_are_refused_before_anything_is_kept(segment: Path) -> None:
    with pytest.raises(LabelError, match=r"600 × 700 px.*700 × 700"):
        write_labels(str(segment), np.zeros((600, SIDE), np.uint8), {})


def test_of_a_painting_the_whole_segment_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = create_pyramid(tmp_path / "s.zarr", shape=(3, 3000, 5000), dtype="uint8", chunks=(3, 512, 512)).path
    labels = open_painted(open_segment(path), elsewhere=tmp_path)
    far = Window((0, 1), (10, 20), (10, 30))
    wanted = np.full((10, 20), INK, np.uint8)
    labels.write(far, labels.read(far).repainted(wanted), wanted > 0)
    viewer: Any = ViewerModel()
    image = viewer.add_image(np.broadcast_to(np.uint8(0), (3, 3000, 5000)))
    beginning = Beginning.read(labels, Grid.of(image).view(viewer), source=str(path), rescued=tmp_path)
    painting = Painting(viewer, beginning, image, LayerOrigin("segment", str(path), "s"), rescued=tmp_path)
    assert not far.overlaps(painting.window)
    painting.layer.brush_size = 9
    painting.layer.paint((700, 700), INK)
    data, meta, _ = painting.layer.as_layer_data_tuple()
    ink, _ = write_labels(str(tmp_path / "all.png"), data, meta)
    with Image.open(ink) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (3000, 5000)
    assert (pixels[10:20, 10:30] == 255).all()
    assert pixels.astype(bool).sum() == 200 + (painting.layer.data == INK).sum()
    monkeypatch.setattr(writer, "current_viewer", lambda: viewer)
    into_itself = write_labels(str(path), data, meta)
    assert into_itself[0] == str(labels.labels.ink)
    with pytest.raises(LabelError, match="is being painted on in this window"):
        write_labels(str(path), np.zeros((3000, 5000), np.uint8), {})
    assert labels.version == open_painted(open_segment(path), elsewhere=tmp_path).version
    assert open_segment(path).raster("ink").read(Window.whole((1, 3000, 5000))).sum() == pixels.astype(bool).sum()
    painting.close()
    assert write_labels(str(path), np.zeros((3000, 5000), np.uint8), {})[0] != str(labels.labels.ink)
