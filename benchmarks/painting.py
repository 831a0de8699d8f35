"""How long the window is held up while one paints on a segment of 65 x 20,000 x 20,000 voxels.

Run ``python benchmarks/painting.py``, under ``xvfb-run -a`` where there is no display. It makes a store of that size
whose chunks are names of a few files, so that reading and decoding cost what they do while the disk holds little;
opens it in a napari window, begins to paint as a person does, and measures what the person feels:

- a dab, from the brush to the end of the drawing of the picture that shows it, for several brushes;
- a step to the next layer, likewise, as a whole and at full size;
- a drawing of a picture that did not change: what no dab and no step can be faster than, with this renderer;
- the longest time for which the event loop did not turn while the painted window moved, while a whole view became
  background and was saved, and while nothing happened, as a timer sees it.

All runs in one process, painting's own thread and timer included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from vispy import gloo

from record import RESULTS, record
from volumen.plugin.layers import segment_data
from volumen.plugin.paint_widget import PaintWidget
from volumen.sources.labels.painted import BACKGROUND, INK
from volumen.sources.open import open_segment
from volumen.sources.pyramids.pyramid import create_pyramid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHAPE = (65, 20_000, 20_000)
CHUNKS = (16, 256, 256)
VOXEL = 7.91
BRUSHES = (10, 40, 200, 1000)
STILL = "a drawing of the same picture, nothing changed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to keep the volume; a temporary folder otherwise")
    parser.add_argument("--repeats", type=int, default=60, help="dabs for each brush, and layer steps")
    parser.add_argument("--note", default="", help="a sentence about the machine, for the record")
    parser.add_argument("--out", type=Path, default=RESULTS / "painting.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = (options.folder or Path(scratch)) / "large.zarr"
        if not path.exists():
            make(path)
        shutil.rmtree(path / "labels", ignore_errors=True)  # of an earlier run
        bench = Bench(path)
        rows = []
        for row in bench.rows(options.repeats):
            rows.append(row)
            print(row, file=sys.stderr)
        bench.viewer.close()
    lines = [f"| {name} | {m:.0f} | {p:.0f} | {w:.0f} | {bound} |" for name, (m, p, w), bound in rows]
    table = "\n".join(["| what | median, ms | 95 %, ms | worst, ms | bound, ms |", "|---|---|---|---|---|", *lines])
    size = " × ".join(f"{side:,}" for side in SHAPE)
    text = (
        f"# Painting on {size} voxels\n\n"
        f"napari {napari.__version__} in a canvas of {bench.size[1]} × {bench.size[0]} px; chunks of the volume "
        f"{'×'.join(map(str, CHUNKS))}. Opening the labels to paint took {bench.opening:.2f} s and "
        f"{bench.files} files. {options.note}\n"
        "Written by `benchmarks/painting.py`, which says what is measured.\n\n"
        f"{table}\n"
    )
    found = {name: dict(zip(("median", "p95", "worst"), spread, strict=True)) for name, spread, _ in rows}
    still = found[STILL]["median"]
    ratios = {f"{STILL} / {name}": still / value["median"] for name, value in found.items() if name.startswith("dab")}
    record(options.out, text, ratios=ratios, numbers=[{"name": name, **value} for name, value in found.items()])


def make(path: Path) -> None:
    """Make the store: one chunk of texture, and as many names of it as there are chunks."""
    pyramid = create_pyramid(path, shape=SHAPE, dtype="uint8", chunks=CHUNKS, voxel_um=VOXEL)
    texture = np.random.default_rng(0).normal(110, 30, (SHAPE[0], *CHUNKS[1:])).clip(0, 255).astype(np.uint8)
    for level, array in enumerate(pyramid.levels):
        array[:, : CHUNKS[1], : CHUNKS[2]] = texture
        chunks = path / str(level) / "c"
        counts = [-(-length // side) for length, side in zip(array.shape, CHUNKS, strict=True)]
        for z in range(counts[0]):
            for y in range(counts[1]):
                (chunks / str(z) / str(y)).mkdir(exist_ok=True)
                for x in range(counts[2]):
                    if (y, x) != (0, 0):
                        os.link(chunks / str(z) / "0" / "0", chunks / str(z) / str(y) / str(x))


@dataclass
class Gaps:
    """How long the event loop stood still, as a timer that should fire each 5 ms sees it."""

    seen: list[float] = field(default_factory=list)

    def __enter__(self) -> Gaps:
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._fire)
        self._timer.start(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()

    def _fire(self) -> None:
        now = time.perf_counter()
        self.seen.append(1e3 * (now - self._last))
        self._last = now


class Bench:
    """A viewer with the volume, at its surface, in which painting has begun."""

    def __init__(self, path: Path) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1700, 1050)
        for data, options, kind in segment_data(open_segment(path)):
            getattr(self.viewer, f"add_{kind}")(data, **options)
        self.viewer.dims.set_current_step(0, SHAPE[0] // 2)
        self.canvas: Any = self.viewer.window._qt_viewer.canvas
        self._draws = 0
        self.random = np.random.default_rng(0)
        self.canvas._scene_canvas.events.draw.connect(self._drawn, position="last")
        self._look(10_000, 10_000)
        self.widget = PaintWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="Paint")
        begun = time.perf_counter()
        self.widget.start()
        self._wait(lambda: self.widget.painting is not None)
        self.opening = time.perf_counter() - begun
        self.painting: Any = self.widget.painting
        self.files = sum(1 for found in (path / "labels").rglob("*") if found.is_file())
        self.size = tuple(self.viewer.canvas.size)
        self._pause(1.0)

    def rows(self, repeats: int) -> Iterator[tuple[str, tuple[float, float, float], str]]:
        """Measure everything; yield what it is, its spread in ms, and the bound that was set."""
        yield STILL, spread(self._redraws(repeats)), ""
        for brush in BRUSHES:
            self.painting.layer.brush_size = brush
            yield f"dab, brush of {brush} px, full size", spread(self._dabs(repeats)), "50"
        self._look(10_000, 10_000, zoom=0.5)
        self.painting.layer.brush_size = 40
        yield "dab, brush of 40 px, half size", spread(self._dabs(repeats)), "50"
        self._look(10_000, 10_000)
        yield "layer step, full size", spread(self._steps(repeats)), "150"
        self._look(10_000, 10_000, zoom=0.04)
        yield "layer step, whole segment", spread(self._steps(repeats)), "150"
        self._look(10_000, 10_000)
        yield "event loop's gap while nothing happens", spread(self._gaps(lambda: self._pause(3.0))), ""
        yield "event loop's gap while the window moves, six times", spread(self._gaps(self._move)), "150"
        yield "event loop's gap while a view becomes background and is saved", spread(self._gaps(self._fill)), "150"

    def _dabs(self, count: int) -> list[float]:
        painting, random = self.painting, self.random
        height, width = painting.window.shape[1:]
        found = []
        for _ in range(count):
            y = int(random.integers(height // 3, 2 * height // 3))
            x = int(random.integers(width // 3, 2 * width // 3))
            label = BACKGROUND if painting.layer.data[y, x] == INK else INK  # a dab that changes nothing draws nothing
            found.append(self._time(lambda at=(y, x), label=label: painting.layer.paint(at, label)))
        painting.flush()
        return found

    def _redraws(self, count: int) -> list[float]:
        return [self._time(self.canvas._scene_canvas.update) for _ in range(count)]

    def _steps(self, count: int) -> list[float]:
        depth = SHAPE[0]
        # neighbouring layers mostly share chunks; a walk over all of them meets every kind of step
        return [self._time(lambda z=index % depth: self.viewer.dims.set_current_step(0, z)) for index in range(count)]

    def _gaps(self, work: Callable[[], None]) -> list[float]:
        with Gaps() as found:
            work()
        return found.seen

    def _move(self) -> None:
        for x in (13_000, 16_000, 13_000, 10_000, 7_000, 10_000):
            before = self.painting.window
            self.painting.layer.paint((900, 900), INK)  # what is unsaved has to be saved first
            self._look(10_000, x)
            self._wait(lambda before=before: self.painting.window != before)
            self._pause(0.3)

    def _fill(self) -> None:
        self._look(10_000, 10_000, zoom=0.6)
        self._wait(lambda: not self.painting.status.hindrance)
        self.painting.label_view_as_background()
        self._wait(lambda: not self.painting.status.unsaved)
        self._pause(0.3)

    def _look(self, y: int, x: int, zoom: float = 1.0) -> None:
        self.viewer.scene.camera.center = (0, y * VOXEL, x * VOXEL)
        self.viewer.scene.camera.zoom = zoom / VOXEL
        self._pause(0.5)

    def _time(self, work: Callable[[], None]) -> float:
        """Return the milliseconds from a change to the end of the drawing that shows it."""
        self._pause(0.02)
        before = self._draws
        begun = time.perf_counter()
        work()
        while self._draws == before and time.perf_counter() - begun < 20:
            QApplication.processEvents()
        return 1e3 * (self._drawn_at - begun)

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not done() and time.monotonic() < deadline:
            QApplication.processEvents()
            time.sleep(0.001)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() > until)

    def _drawn(self, _event: object) -> None:
        gloo.gl.glFinish()  # what was asked of the renderer is on the picture from here
        self._draws += 1
        self._drawn_at = time.perf_counter()


def spread(milliseconds: list[float]) -> tuple[float, float, float]:
    """Return the median, the 95th percentile and the worst."""
    return (statistics.median(milliseconds), float(np.percentile(milliseconds, 95)), max(milliseconds))


if __name__ == "__main__":
    main()
