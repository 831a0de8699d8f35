"""Walk the loop in a real window and take a picture of each step: ``xvfb-run -a python docs/make_tour.py``.

The sample is made, strokes are painted, a small model learns from them, its map fills in, and the runs are looked at.
Everything is made in a folder that is removed at the end; the pictures go to ``docs/images/tour_*.png``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.settings import get_plugin_settings, get_settings
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea
from scipy import ndimage

from volumen.plugin.finetune_widget import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment

IMAGES = Path(__file__).parent / "images"
SIZE = (1400, 900)  # px of the window
LARGEST = 300_000  # bytes of a picture
PATIENCE = 1800.0  # seconds that a step may take
DOCK = 470  # px: width of the widgets
QUICK = PRESETS["Quick look"]


def main() -> None:
    """Read the command line and walk."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument("--epochs", type=int, default=QUICK["epochs"], help="passes over the crops")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        Tour(Path(scratch), options.out, options.epochs).walk()
        leave()


class Tour:
    """A window, and the steps that are taken in it."""

    def __init__(self, scratch: Path, out: Path, epochs: int) -> None:
        self.out, self.epochs = out, epochs
        get_settings(path=None)  # neither reads nor writes a person's own settings
        folders = get_plugin_settings("volumen", path_dir=None).folders
        folders.cache, folders.runs = str(scratch / "cache"), str(scratch / "volumen-runs")
        self.viewer = napari.Viewer()
        window = self.viewer.window
        window.resize(*SIZE)
        self.docks, self.widgets = {}, {}
        for name in ("Segment", "Paint", "Fine-tune", "Predict", "Runs"):
            self.docks[name], self.widgets[name] = window.add_plugin_dock_widget("volumen", name, tabify=True)
            self.docks[name].setWindowTitle(name)  # so that it fits on its tab

    def walk(self) -> None:
        """Take every step."""
        for step in (self.open, self.check, self.paint, self.learn, self.predict, self.look_back):
            begun = time.monotonic()
            step()
            print(f"{step.__name__}: {time.monotonic() - begun:.0f} s", flush=True)

    def open(self) -> None:
        """Make the sample in a job, and open it."""
        widget = self.turn_to("Segment")
        widget.open_sample()
        wait_for(lambda: widget.segment is not None and not widget.waiting)
        self.viewer.reset_view()
        self.picture("open")

    def check(self) -> None:
        """Look it over before training."""
        widget = self.widgets["Segment"]
        widget.check()
        wait_for(lambda: widget.panel.job.verb == "check" and widget.panel.job.state == "finished")
        self.picture("check")

    def paint(self) -> None:
        """Label one of the places of the sample that nobody has labelled."""
        segment = self.widgets["Segment"].segment
        widget = self.turn_to("Paint")
        widget.start()
        wait_for(lambda: widget.painting is not None)
        self.viewer.layers["phantom_ink"].visible = False
        edge = segment.voxel_um
        ink, background = unlabelled(segment)
        self.viewer.scene.camera.center = (0, *(ink.mean(axis=0) * edge))
        self.viewer.scene.camera.zoom = 2.2 / edge
        rest(1.0)
        for label, brush, points in ((2, 9, ink), (1, 15, background)):
            widget.choose(label)
            widget.painting.layer.brush_size = brush
            for point in points * edge:
                widget.painting.layer.paint(widget.painting.layer.world_to_data(point), label)
        wait_for(lambda: not widget.painting.status.unsaved)
        self.picture("paint")

    def learn(self) -> None:
        """Fine-tune on what is painted and what the sample has."""
        widget = self.turn_to("Fine-tune")
        widget.form.set_values({**QUICK, "epochs": self.epochs})
        self.picture("finetune")
        job = begun(widget)
        wait_for(lambda: told(job, "scored") > self.epochs // 2 or job.state != "running")
        show_panel(widget)
        self.picture("learning")
        wait_for(lambda: job.state != "running")
        if job.state != "finished":
            raise SystemExit(job.error)

    def predict(self) -> None:
        """Predict all of it, and watch the map fill in."""
        widget = self.turn_to("Predict")
        self.viewer.layers["phantom painting"].visible = False
        self.viewer.reset_view()
        widget.form.set_values({"tile": 256})  # small ones, to see the map fill in
        job = begun(widget)
        wait_for(lambda: told(job, "tile_written") > 1 or job.state != "running")
        self.picture("predicting")
        wait_for(lambda: job.state != "running")
        rest(1.0)
        self.picture("predict")

    def look_back(self) -> None:
        """See what was done."""
        widget = self.turn_to("Runs")
        widget.refresh()
        rest(1.0)
        table = widget.table
        rows = range(table.rowCount())
        table.selectRow(next(row for row in rows if table.item(row, 1).text() == "finetune"))
        self.picture("runs")

    def turn_to(self, name: str) -> Any:
        """Bring a widget to the front."""
        dock = self.docks[name]
        dock.show()
        dock.raise_()
        dock.parent().resizeDocks([dock], [DOCK], Qt.Orientation.Horizontal)
        rest(0.5)
        return self.widgets[name]

    def picture(self, name: str) -> None:
        """Save what the window looks like."""
        rest(0.7)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        save(Image.fromarray(pixels).convert("RGB"), self.out / f"tour_{name}.png")


def unlabelled(segment: Segment) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return points (y, x) in pixels that a brush visits on ink and beside it, in a place without labels."""
    window = segment.window
    ink = segment.ink.read(window) > 0.5
    places, count = ndimage.label(segment.papyrus(window) & ~segment.supervised(window))
    place = places == 1 + np.argmax(ndimage.sum(ink, places, range(1, count + 1)))
    on_grid = np.zeros(ink.shape, bool)
    on_grid[::3, ::3] = True
    within = ndimage.binary_erosion(ink & place, iterations=4)
    beside = ndimage.binary_erosion(place, iterations=10) & ~ndimage.binary_dilation(ink, iterations=14)
    beside[: int(np.argwhere(place)[:, 0].mean())] = False  # only below: the place is not labelled to its end
    return np.argwhere(within & on_grid), np.argwhere(beside & on_grid)


def begun(widget: Any) -> Any:
    """Start a widget's job."""
    job = widget.start()
    if job is None:
        said = [label.text() for label in widget.findChildren(QLabel) if label.isVisible()]
        raise SystemExit("\n".join([f"{widget.verb} cannot be started:", *said]))
    return job


def told(job: Any, kind: str) -> int:
    """Return how many events of a kind a job has told."""
    file = job.folder / "events.jsonl"
    return file.read_text("utf-8").count(f'"event": "{kind}"') if file.exists() else 0


def show_panel(widget: Any) -> None:
    """Scroll a widget down to its job."""
    for area in widget.findChildren(QScrollArea):
        if area.isAncestorOf(widget.panel):
            bar = area.verticalScrollBar()
            bar.setValue(bar.maximum())


def save(picture: Image.Image, path: Path) -> None:
    """Save a picture as small as it has to be, with as many colours as fit."""
    for colors in (256, 128, 64, 48, 32, 24):
        picture.quantize(colors, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
        if path.stat().st_size <= LARGEST:
            break
    print(path, path.stat().st_size, colors, flush=True)


def rest(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait_for(holds: Callable[[], bool]) -> None:
    """Let the window live until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"Nothing came of it within {PATIENCE:.0f} s.")
        rest(0.05)


def leave() -> None:
    """Close the windows, so that what they watch is let go."""
    napari.Viewer.close_all()
    rest(0.5)


if __name__ == "__main__":
    main()
