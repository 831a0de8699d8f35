"""How long the window keeps a person waiting while work goes on: gaps between ticks of a 10 ms timer of its event loop.

Run ``xvfb-run -a python benchmarks/window.py`` on a machine with nothing else to do. One napari window after the other
does nothing (the reference), watches a real fine-tuning from the click on Start to its end, and shows 300 tiles of
512 px that another process writes into an ink map of 20,480 px a side, zoomed out and at full size. A gap is the time
from one tick to the next, so 10 ms is the least; what is drawn is drawn by whatever OpenGL there is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.qt.threading import thread_worker
from napari.settings import get_plugin_settings, get_settings
from qtpy import API_NAME, QT_VERSION
from qtpy.QtCore import QEventLoop, Qt, QTimer

from record import RESULTS, cores, record
from volumen.events import TileWritten, from_json, result, to_json
from volumen.plugin.finetune_widget import PRESETS
from volumen.plugin.live_map import LiveMap, show_map
from volumen.plugin.showing import open_ahead, show
from volumen.settings import Phantom
from volumen.sources.pyramids.probability_map import create_map, open_map
from volumen.sources.synthetic.phantom import make_phantom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDLE = "nothing happens"
TICK = 10  # ms
SIDE = 20_480  # px
TILES = 300
BOUNDS = (60, 150)  # ms that are asked for: p95 and worst


class Pulse:
    """Counts the ticks of the event loop as long as it is entered."""

    def __init__(self) -> None:
        self.ticks: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self.ticks.append(time.perf_counter()))

    def __enter__(self) -> Pulse:
        self._timer.start(TICK)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()

    def row(self, what: str) -> dict[str, Any]:
        """Return a row of the table, in ms."""
        gaps = 1000 * np.diff(self.ticks)
        p50, p95, p99 = (float(gap) for gap in np.percentile(gaps, (50, 95, 99)))
        return {
            "while": what,
            "s": self.ticks[-1] - self.ticks[0],
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "worst": float(gaps.max()),
            f"above {BOUNDS[0]}": np.count_nonzero(gaps > BOUNDS[0]),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=6, help="length of the fine-tuning")
    parser.add_argument("--out", type=Path, default=RESULTS / "window.md", help="where to write the table")
    parser.add_argument("--write", type=Path, help="write tiles into the map there, and tell them")
    options = parser.parse_args()
    if options.write:
        write_tiles(options.write)
        return
    get_settings(path=None)  # neither reads nor writes a person's own settings
    folders = get_plugin_settings("volumen", path_dir=None).folders
    with tempfile.TemporaryDirectory() as scratch:
        folders.cache, folders.runs = str(Path(scratch) / "cache"), str(Path(scratch) / "runs")
        rows = [*idle(), *training(Path(scratch), options.epochs)]
        for zoom, name in ((None, "zoomed out"), (1.0, "at full size")):
            rows += tiles(Path(scratch) / f"map_{name}.zarr", zoom, name)
    columns = list(rows[0])
    table = "\n".join(
        f"| {row['while']} | " + " | ".join(f"{row[name]:.0f}" for name in columns[1:]) + " |" for row in rows
    )
    text = (
        f"# Window\n\nnapari {version('napari')}, {API_NAME} (Qt {QT_VERSION}), {cores()} cores, "
        f"a timer of {TICK} ms; gaps between its ticks in ms. Asked for: p95 below {BOUNDS[0]}, none of {BOUNDS[1]} or "
        "more. Written by `benchmarks/window.py`, which says what is measured.\n\n"
        f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n{table}\n"
    )
    idle_gap = rows[0]["p95"]
    ratios = {f"p95, {IDLE} / {row['while']}": idle_gap / row["p95"] for row in rows[1:]}
    record(options.out, text, ratios=ratios, numbers=rows)


def idle() -> Iterator[dict[str, Any]]:
    """Yield the row of a window that does nothing."""
    viewer = window()
    with Pulse() as pulse:
        rest(10)
    yield pulse.row(IDLE)
    viewer.close()


def training(scratch: Path, epochs: int) -> Iterator[dict[str, Any]]:
    """Yield the row of a window that watches a fine-tuning."""
    path = scratch / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path))))
    viewer = window()
    show(viewer, open_ahead(str(path)))
    _, widget = viewer.window.add_plugin_dock_widget("volumen", "Fine-tune")
    widget.form.set_values({**PRESETS["Quick look"], "epochs": epochs})
    rest(3)
    with Pulse() as pulse:
        rest(0.1)
        job = widget.start()
        wait_for(lambda: job.state != "running")
        rest(1)
    if job.state != "finished":
        raise SystemExit(job.error)
    yield pulse.row(f"a model trains, {epochs} epochs")
    viewer.close()


def tiles(path: Path, zoom: float | None, name: str) -> Iterator[dict[str, Any]]:
    """Yield the row of a window in whose map tiles arrive."""
    create_map(path, shape=(SIDE, SIDE), settings={})
    viewer = window()
    live = show_map(viewer, path)
    if zoom is not None:
        viewer.scene.camera.zoom = zoom
        viewer.scene.camera.center = (0, 2048, 2048)
    rest(3)
    with Pulse() as pulse:
        worker = follow(path)
        worker.yielded.connect(lambda event: live.written(event.box))
        over: list[bool] = []
        worker.finished.connect(lambda: over.append(True))
        worker.start()
        wait_for(lambda: bool(over))
        rest(1)
    yield pulse.row(f"{TILES} tiles arrive, {name}")
    check(live, path)
    viewer.close()


def check(live: LiveMap, path: Path) -> None:
    """See that what was written is what the layer holds, so that nobody measures an idle window."""
    live.end()
    grown = open_map(path)
    for level, array in enumerate(grown.pyramid.levels):
        if not np.array_equal(np.asarray(live.layer.data[level]), array[:]) or not array[:].any():
            raise SystemExit(f"Level {level} of the map is not what was written.")


@thread_worker
def follow(path: Path) -> Iterator[TileWritten]:
    """Start the process that writes and hand its events over."""
    command = [sys.executable, __file__, "--write", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            event = from_json(line)
            if isinstance(event, TileWritten):
                yield event


def write_tiles(path: Path) -> None:
    """Write tiles of noise as fast as it goes, and tell each when it is on disk."""
    grown = open_map_to_write(path)
    random = np.random.default_rng(0)
    for done, block in enumerate(list(grown.blocks(grown.window))[:TILES], start=1):
        grown.write(block, random.integers(0, 256, block.shape[1:], np.uint8))
        print(to_json(TileWritten(done=done, total=TILES, box=block.box)), flush=True)


def open_map_to_write(path: Path) -> Any:
    """Go on with the map that is there."""
    return create_map(path, shape=(SIDE, SIDE), settings={}, resume=True)


def window() -> Any:
    """Open a window of a usual size."""
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    rest(2)
    return viewer


def rest(seconds: float) -> None:
    """Let the event loop run."""
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end)


def wait_for(holds: Callable[[], bool]) -> None:
    """Let the event loop run as napari runs it, until something holds."""
    loop = QEventLoop()
    look = QTimer()
    look.timeout.connect(lambda: loop.quit() if holds() else None)
    look.start(50)
    loop.exec()
    look.stop()


if __name__ == "__main__":
    main()
