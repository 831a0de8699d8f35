"""Painting: the window follows the view, strokes reach the disk in time, and none is ever lost or misplaced."""

from __future__ import annotations

import copy
import errno
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")

from napari.components import ViewerModel

from volumen.errors import OutOfSpaceError
from volumen.plugin.beginning import Beginning
from volumen.plugin.layers import origin_of
from volumen.plugin.painted_window import LIMIT, SIDE, Grid, first_window, window_around
from volumen.plugin.painting import Painting, painting_of
from volumen.sources.labels.painted import BACKGROUND, INK, UNLABELLED, PaintedLabels, open_painted
from volumen.sources.open import open_segment
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

VOXEL = 7.91
LARGE = (6000, 7000)


class Clock:
    """A clock that stands still unless told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Mouse:
    """What napari tells a drag callback of."""

    def __init__(self) -> None:
        self.type = "mouse_move"


class Bench:
    """A viewer without a window, a segment of which nothing is on disk but its shape, and a painting on it."""

    def __init__(self, folder: Path, shape: tuple[int, int] = LARGE) -> None:
        self.folder = folder
        self.path = folder / "s.zarr"
        if not self.path.exists():
            create_pyramid(self.path, shape=(3, *shape), dtype="uint8", chunks=(3, 512, 512), voxel_um=VOXEL, levels=1)
        self.viewer: Any = ViewerModel()
        self.viewer.canvas.size = (600, 800)
        scale = (VOXEL,) * 3
        self.segment_layer = self.viewer.add_image(
            np.broadcast_to(np.uint8(7), (3, *shape)), scale=scale, translate=(0, 50, 20), units=("um",) * 3
        )
        self.clock = Clock()
        self.start()

    def start(self) -> None:
        from volumen.plugin.layers import LayerOrigin

        cache, origin = self.folder / "cache", LayerOrigin("segment", str(self.path), "s")
        labels = open_painted(open_segment(self.path), elsewhere=cache)
        view = Grid.of(self.segment_layer).view(self.viewer)
        self.painting = Painting(
            self.viewer,
            Beginning.read(labels, view, source=origin.path, rescued=cache),
            self.segment_layer,
            origin,
            rescued=cache,
            clock=self.clock,
        )

    @property
    def layer(self) -> Any:
        return self.painting.layer

    def look(self, y: float, x: float, zoom: float = 1.0) -> None:
        """Put a pixel of the segment in the middle of the view; ``zoom`` in canvas pixels a pixel."""
        self.viewer.scene.camera.center = (0, 50 + y * VOXEL, 20 + x * VOXEL)
        self.viewer.scene.camera.zoom = zoom / VOXEL

    def settle(self, done: Callable[[], bool]) -> None:
        """Tick until ``done``, for the disk's thread to come by."""
        deadline = time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline, "nothing came of it in 20 s"
            self.painting.tick()
            time.sleep(0.005)

    def go(self, y: float, x: float, zoom: float = 1.0) -> None:
        self.look(y, x, zoom)
        before = self.painting.window
        self.settle(lambda: self.painting.window != before)

    def dab(self, y: int, x: int, label: int = INK) -> None:
        """Paint a dab at a pixel of the segment, as the brush does."""
        self.layer.selected_label = label
        top, left = self.painting.window.y[0], self.painting.window.x[0]
        self.layer.paint((y - top, x - left), label)

    def on_disk(self, y: int, x: int) -> int:
        """What a fresh reader finds there."""
        segment = open_segment(self.path)
        window = Window((0, 1), (y, y + 1), (x, x + 1))
        if not segment.supervised(window)[0, 0]:
            return UNLABELLED
        return INK if segment.raster("ink").read(window)[0, 0] > 0.5 else BACKGROUND


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.painting.close()


@pytest.mark.parametrize("shape", [(20000, 20000), (3000, 20000), (5047, 9163), (700, 90)])
def test_any_view_that_is_not_too_wide_gets_a_window_that_covers_it(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = (int(rng.integers(1, LIMIT - 512)) for _ in range(2))
        top, left = (
            int(rng.integers(-height + 1, length)) for height, length in zip((height, width), shape, strict=True)
        )
        view = Window((0, 1), (top, top + height), (left, left + width))
        window = window_around(view, shape, 512)
        seen = view.clip((1, *shape))
        assert window is not None
        assert seen & window == seen
        assert window.clip((1, *shape)) == window
        assert window.y[0] % 512 == window.x[0] % 512 == 0
        assert max(window.shape) < LIMIT + 512


def test_a_view_of_everything_begins_in_the_middle() -> None:
    assert window_around(Window.whole((1, 20000, 20000)), (20000, 20000), 512) is None
    window = first_window(None, (20000, 20000), 512)
    assert window.shape == (1, SIDE, SIDE)
    assert window.y[0] < 10000 < window.y[1]


def test_the_view_is_told_in_pixels_of_the_segment(bench: Bench) -> None:
    bench.look(3000, 2000, zoom=2)
    view = Grid.of(bench.segment_layer).view(bench.viewer)
    assert view is not None
    np.testing.assert_allclose(view.box, (2850, 3150, 1800, 2200), atol=1.5)
    bench.viewer.dims.ndisplay = 3
    assert Grid.of(bench.segment_layer).view(bench.viewer) is None


def test_a_stroke_lies_where_it_was_painted_in_the_world_and_on_disk(bench: Bench) -> None:
    bench.go(1000, 6000)
    bench.layer.brush_size = 1
    world = (0, 50 + 1000 * VOXEL, 20 + 6100 * VOXEL)
    y, x = (round(value) for value in bench.layer.world_to_data(world))
    bench.layer.paint((y, x), INK)
    bench.painting.flush()
    assert bench.on_disk(1000, 6100) == INK
    assert bench.on_disk(1000, 6101) == UNLABELLED
    assert bench.on_disk(1001, 6100) == UNLABELLED
    found = origin_of(bench.layer)
    assert found is not None
    assert (found.kind, found.path) == ("paint", str(bench.path))


def test_strokes_are_saved_soon_and_not_while_the_brush_is_down_for_long(bench: Bench) -> None:
    y, x = bench.painting.window.y[0] + 100, bench.painting.window.x[0] + 100
    bench.dab(y, x)
    bench.painting.tick()
    assert bench.painting.status.saved == "Saving…"
    assert bench.on_disk(y, x) == UNLABELLED
    bench.clock.now += 0.6
    bench.settle(lambda: not bench.painting.status.unsaved)
    assert bench.on_disk(y, x) == INK
    bench.clock.now += 3
    assert bench.painting.status.saved == "Saved 3 s ago."

    stroke = bench.layer.mouse_drag_callbacks[-1](bench.layer, Mouse())
    next(stroke)
    bench.dab(y, x + 200)
    bench.painting.tick()
    bench.clock.now += 0.6
    for _ in range(20):
        bench.painting.tick()
    assert bench.on_disk(y, x + 200) == UNLABELLED
    bench.clock.now += 1.4  # two seconds after its first dab, a long stroke is saved while it goes on
    bench.settle(lambda: not bench.painting.status.unsaved)
    assert bench.on_disk(y, x + 200) == INK
    stroke.close()


def test_the_window_follows_the_view_saves_first_and_finds_its_strokes_again(bench: Bench) -> None:
    bench.go(1000, 1000)
    first = bench.painting.window
    bench.dab(1000, 1000)
    bench.dab(1200, 1000, BACKGROUND)
    assert isinstance(bench.layer.data, np.ndarray)
    bench.go(5000, 6000)
    assert bench.on_disk(1000, 1000) == INK  # though the clock stood still
    assert not bench.layer.data.any()
    bench.go(1000, 1000)
    top, left = bench.painting.window.y[0], bench.painting.window.x[0]
    assert bench.painting.window == first
    assert bench.layer.data[1000 - top, 1000 - left] == INK
    assert bench.layer.data[1200 - top, 1000 - left] == BACKGROUND
    assert (bench.layer.data > 0).sum() == 2 * (bench.layer.data == INK).sum()


def test_a_small_pan_moves_nothing_and_keeps_undo(bench: Bench) -> None:
    bench.go(1000, 1000)
    window = bench.painting.window
    bench.dab(1000, 1000)
    bench.look(1100, 900)
    for _ in range(30):
        bench.painting.tick()
        time.sleep(0.002)
    assert bench.painting.window == window
    bench.layer.undo()
    bench.painting.flush()
    assert bench.on_disk(1000, 1000) == UNLABELLED
    bench.layer.redo()
    bench.painting.flush()
    assert bench.on_disk(1000, 1000) == INK


def test_undo_never_reaches_into_a_window_that_has_moved(bench: Bench) -> None:
    bench.go(1000, 1000)
    bench.dab(1000, 1000)
    bench.layer.mode = "paint"
    bench.go(5000, 6000)
    assert str(bench.layer.mode) == "paint"
    bench.layer.undo()
    assert not bench.layer.data.any()
    bench.dab(5000, 6000)
    bench.layer.undo()
    assert not bench.layer.data.any()
    bench.painting.flush()
    assert bench.on_disk(1000, 1000) == INK
    assert bench.on_disk(5000, 6000) == UNLABELLED


def test_the_window_waits_for_a_stroke_to_end(bench: Bench) -> None:
    bench.go(1000, 1000)
    window = bench.painting.window
    mouse = Mouse()
    stroke = bench.layer.mouse_drag_callbacks[-1](bench.layer, mouse)
    next(stroke)
    bench.look(5000, 6000)
    for _ in range(30):
        bench.painting.tick()
        time.sleep(0.002)
    assert bench.painting.window == window
    mouse.type = "mouse_release"
    assert next(stroke, "ended") == "ended"
    bench.settle(lambda: bench.painting.window != window)


def test_a_stroke_made_while_another_window_is_read_is_seen_in_that_one(bench: Bench) -> None:
    bench.go(1000, 1000)
    first = bench.painting.window
    slow = threading.Event()
    thread = bench.painting._saving._thread
    thread.submit(slow.wait)
    bench.look(1800, 1000)
    bench.painting.tick()  # asks for the other window
    y = first.y[1] - 300
    bench.dab(y, 1000)
    bench.painting.tick()
    bench.clock.now += 0.6
    bench.painting.tick()  # asks for the stroke to be written, after that reading
    slow.set()
    thread.submit(int).result()  # both are done between two ticks
    bench.settle(lambda: bench.painting.window != first)
    assert bench.on_disk(y, 1000) == INK
    assert bench.layer.data[y - bench.painting.window.y[0], 1000 - bench.painting.window.x[0]] == INK


def test_a_view_too_wide_puts_the_brush_away_and_hands_it_back(bench: Bench) -> None:
    bench.go(1000, 1000)
    bench.layer.mode = "paint"
    bench.dab(1000, 1000)
    bench.look(3000, 3500, zoom=0.1)
    bench.painting.tick()
    assert "Zoom in to paint" in bench.painting.status.hindrance
    assert str(bench.layer.mode) == "pan_zoom"
    bench.look(1000, 1000)
    bench.painting.tick()
    assert bench.painting.status.hindrance == ""
    assert str(bench.layer.mode) == "paint"
    bench.layer.undo()  # looking at the whole in between costs no undo
    bench.painting.flush()
    assert bench.on_disk(1000, 1000) == UNLABELLED


def test_a_wide_view_gets_a_wider_window(bench: Bench) -> None:
    bench.go(1000, 1000)
    bench.go(3000, 3500, zoom=0.3)
    assert max(bench.painting.window.shape) == LIMIT


def test_the_overview_shows_all_labels_but_the_windows_own_at_every_level(bench: Bench) -> None:
    bench.go(1000, 1000)
    bench.layer.brush_size = 64
    bench.dab(1000, 1000)
    bench.go(5000, 6000)
    bench.dab(5000, 6000)
    bench.painting.flush()
    for level, data in enumerate(bench.painting.overview_layer.data):
        whole = np.asarray(data)
        assert whole[1000 >> level, 1000 >> level] == INK
        assert whole[5000 >> level, 6000 >> level] == UNLABELLED
    bench.go(1000, 1000)
    for level, data in enumerate(bench.painting.overview_layer.data):
        whole = np.asarray(data)
        assert whole[1000 >> level, 1000 >> level] == UNLABELLED
        assert whole[5000 >> level, 6000 >> level] == INK
    assert not bench.painting.overview_layer.editable


def test_of_what_the_window_covers_the_overview_reads_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.go(1000, 1000)
    window, levels = bench.painting.window, bench.painting.overview_layer.data
    monkeypatch.setattr(PaintedLabels, "read_level", lambda *_: pytest.fail("it reads"))
    for level, data in enumerate(levels[:-1]):
        rows, columns = (slice(start >> level, stop >> level) for start, stop in (window.y, window.x))
        pixels = np.asarray(data[rows, columns])
        assert pixels.shape == (rows.stop - rows.start, columns.stop - columns.start)
        assert not pixels.any()
    y, x = window.y[1], window.x[0]
    with pytest.raises(pytest.fail.Exception, match="it reads"):
        np.asarray(levels[0][y - 1 : y + 1, x : x + 1])


def test_a_small_segment_needs_no_overview(tmp_path: Path) -> None:
    bench = Bench(tmp_path, shape=(300, 500))
    assert bench.painting.overview_layer is None
    assert bench.painting.window.shape == (1, 300, 500)
    bench.dab(299, 499)
    bench.painting.close()
    assert bench.on_disk(299, 499) == INK


def test_the_whole_view_becomes_background_but_what_is_labelled_stays(bench: Bench) -> None:
    bench.go(1000, 1000)
    bench.dab(1000, 1000)
    bench.painting.label_view_as_background()
    bench.painting.flush()
    assert bench.on_disk(1000, 1000) == INK
    assert bench.on_disk(1290, 610) == BACKGROUND
    assert bench.on_disk(1310, 1000) == UNLABELLED
    assert bench.on_disk(1000, 580) == UNLABELLED
    assert bench.layer.preserve_labels is False
    bench.layer.undo()
    bench.painting.flush()
    assert bench.on_disk(1290, 610) == UNLABELLED
    assert bench.on_disk(1000, 1000) == INK


def test_soft_ink_comes_back_when_a_stroke_is_undone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, shape=(300, 500))
    bench.painting.close()
    ink = open_segment(bench.path)
    labels = open_painted(ink, elsewhere=tmp_path)
    window = Window((0, 1), (0, 100), (0, 100))
    soft = type(labels.read(window))(np.full((100, 100), 180, np.uint8), np.full((100, 100), 255, np.uint8))
    labels.write(window, soft, np.ones((100, 100), bool))
    bench.viewer.layers.remove(bench.layer)
    bench.start()
    bench.dab(50, 50, BACKGROUND)
    bench.painting.flush()
    assert bench.on_disk(50, 50) == BACKGROUND
    bench.layer.undo()
    bench.painting.flush()
    assert (labels.read(window).ink == 180).all()
    bench.painting.close()


def test_a_job_keeps_its_labels_while_painting_goes_on(bench: Bench) -> None:
    bench.go(1000, 1000)
    bench.dab(1000, 1000)
    kept = bench.painting.freeze()
    assert "kept as it is" in bench.painting.status.shown_version
    frozen = open_segment(bench.path, ink=kept.ink, supervision=kept.supervision)
    before = frozen.raster("ink").digest()
    bench.dab(1100, 1000)
    bench.painting.flush()
    assert bench.painting.status.shown_version == "Version 2"
    assert open_segment(bench.path, ink=kept.ink).raster("ink").digest() == before
    assert bench.on_disk(1100, 1000) == bench.on_disk(1000, 1000) == INK


def full_disk(array: Any, key: Any, value: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def array_type(bench: Bench) -> type:
    return type(bench.painting.labels._ink.levels[0])


def test_a_full_disk_is_said_and_tried_again_and_the_window_stays(bench: Bench, monkeypatch: Any) -> None:
    bench.go(1000, 1000)
    window = bench.painting.window
    with monkeypatch.context() as patched:
        patched.setattr(array_type(bench), "__setitem__", full_disk)
        bench.dab(1000, 1000)
        with pytest.raises(OutOfSpaceError):
            bench.painting.flush()
        assert "Free some space" in bench.painting.status.saved
        bench.look(5000, 6000)
        for _ in range(30):
            bench.clock.now += 1
            bench.painting.tick()
            time.sleep(0.002)
        assert bench.painting.window == window

    def moved() -> bool:
        bench.clock.now += 1  # a write that was under way may still fail, and is tried again later
        return bench.painting.window != window

    bench.settle(moved)
    assert bench.painting.status.error == ""
    assert bench.on_disk(1000, 1000) == INK


def test_strokes_that_cannot_be_saved_at_the_end_are_put_back_at_the_next_start(
    tmp_path: Path, monkeypatch: Any
) -> None:
    bench = Bench(tmp_path)
    bench.go(1000, 1000)
    bench.dab(1000, 1000)
    bench.painting.flush()
    bench.dab(1100, 1000, BACKGROUND)
    with monkeypatch.context() as patched:
        patched.setattr(array_type(bench), "__setitem__", full_disk)
        left = bench.painting.close()
    assert left is not None
    assert tmp_path / "cache" in left.parents
    assert bench.on_disk(1100, 1000) == UNLABELLED
    bench.start()
    assert bench.on_disk(1100, 1000) == BACKGROUND
    assert bench.on_disk(1000, 1000) == INK
    assert not left.exists()
    bench.painting.close()


def test_strokes_that_do_not_fit_the_segment_any_more_are_kept_aside(tmp_path: Path) -> None:
    bench = Bench(tmp_path, shape=(300, 500))
    bench.dab(250, 450)
    shutil.rmtree(bench.path)
    left = bench.painting.close()
    assert left is not None
    before = left.read_bytes()
    smaller = Bench(tmp_path, shape=(200, 500))
    smaller.painting.close()
    assert not left.exists()
    assert [path.read_bytes() for path in left.parent.iterdir()] == [before]


def test_a_deleted_segment_is_said_and_strokes_are_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, shape=(300, 500))
    bench.dab(50, 50)
    shutil.rmtree(bench.path)
    bench.painting.tick()
    bench.clock.now += 1
    bench.settle(lambda: bool(bench.painting.status.error))
    assert "still in memory" in bench.painting.status.saved
    assert not bench.path.exists()
    left = bench.painting.close()
    assert left is not None
    assert left.exists()


def test_removing_the_layer_saves_it(bench: Bench) -> None:
    bench.go(1000, 1000)
    bench.dab(1000, 1000)
    bench.viewer.layers.remove(bench.layer)
    assert bench.painting.closed
    assert bench.on_disk(1000, 1000) == INK
    whole = np.asarray(bench.painting.overview_layer.data[-1])
    assert whole.any()  # without a window, the overview shows that part too


def test_clearing_the_viewer_saves_too(bench: Bench) -> None:
    bench.go(1000, 1000)
    bench.dab(1000, 1000)
    bench.viewer.layers.clear()
    assert bench.painting.closed
    assert bench.on_disk(1000, 1000) == INK


def test_a_painting_is_found_by_its_layer_only(bench: Bench) -> None:
    assert painting_of(bench.layer) is bench.painting
    assert painting_of(bench.segment_layer) is None
    assert painting_of(None) is None
    data, options, _ = copy.deepcopy(bench.layer.as_layer_data_tuple())
    assert painting_of(bench.viewer.add_labels(data, **options)) is None


def test_only_the_three_classes_can_be_chosen(bench: Bench) -> None:
    bench.layer.selected_label = 7
    assert bench.layer.selected_label == INK
