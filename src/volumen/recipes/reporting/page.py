"""Page: what a report shows, rendered to one self-contained HTML file, with its tables and figures beside it."""

from __future__ import annotations

import base64
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from volumen.evaluation import pictures
from volumen.evaluation.figures import DARK, LIGHT, Theme
from volumen.recipes.evaluate import SCORES
from volumen.recipes.reporting.tables import SCORE_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.recipes.reporting.line_runs import ReadingView
    from volumen.recipes.reporting.panels import Panel
    from volumen.recipes.reporting.photo_view import PhotoRunView
    from volumen.recipes.reporting.pretraining import PretrainingView
    from volumen.recipes.reporting.run_record import RunRecord
    from volumen.recipes.reporting.tables import Cell, ScopeTable, SettingRow

_TEMPLATE = "report.html.j2"


class Drawing(Protocol):
    """Draws a plot in the colours of a theme, as PNG bytes."""

    def __call__(self, *, theme: Theme) -> bytes:
        """Draw it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot, drawn for a light page and for a dark one."""

    name: str
    light: bytes
    dark: bytes

    @classmethod
    def draw(cls, name: str, draw: Drawing) -> Plot:
        """Draw a plot in both themes."""
        return cls(name=name, light=draw(theme=LIGHT), dark=draw(theme=DARK))


@dataclass(frozen=True, kw_only=True)
class PlaceView:
    """A place of a segment: why it was chosen, where it is, and its pictures, so many in a row."""

    title: str
    where: str
    columns: int
    held_out: bool
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class SegmentView:
    """A segment: whole maps of it, and places on it."""

    name: str
    facts: str
    tinted: bool
    overviews: Sequence[Panel]
    places: Sequence[PlaceView]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One of the few numbers at the top."""

    label: str
    cell: Cell
    note: str


@dataclass(frozen=True, kw_only=True)
class MapView:
    """A map's plots of threshold and reliability, and what they say in words."""

    name: str
    sentence: str
    plots: Sequence[Plot]


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a report says."""

    subject: str
    title: str
    lead: str
    made: str
    runs: Sequence[RunRecord]
    headlines: Sequence[Headline]
    tables: Sequence[ScopeTable]
    pretraining: Sequence[PretrainingView]
    readings: Sequence[ReadingView]
    photographs: Sequence[PhotoRunView]
    segments: Sequence[SegmentView]
    curves: Sequence[Plot]
    training: Sequence[tuple[str, ...]]
    maps: Sequence[MapView]
    settings: Sequence[SettingRow]
    provenance: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    warnings: Sequence[tuple[str, str]]
    notes: Sequence[str] = field(default_factory=tuple)

    def render(self) -> str:
        """Return the page as HTML without a single outside reference."""
        names = [SCORE_NAMES[score] for score in SCORES]
        return fill("volumen.recipes.reporting", _TEMPLATE, page=self, score_names=names)

    def figures(self) -> dict[str, bytes]:
        """Return every figure by the name of its file, plots as on a light page."""
        plots = [*self.curves, *(plot for view in self.maps for plot in view.plots)]
        found = {f"{slug(plot.name)}.png": plot.light for plot in plots}
        for view in self.pretraining:
            for panel in view.sheets:
                found[f"{slug(view.name, 'reconstructions', panel.title.split(',')[0])}.png"] = panel.image
        for photographs in self.photographs:
            for example in photographs.examples:
                for panel in example.panels:
                    words = panel.title.partition(":")[0]
                    found[f"{slug(photographs.name, example.name, words)}.png"] = panel.image
        for segment in self.segments:
            for panel in segment.overviews:
                found[f"{slug(segment.name, panel.title)}.png"] = panel.image
            for number, place in enumerate(segment.places, start=1):
                for panel in place.panels:
                    title = panel.title.split(":")[0].split(" at ")[0]
                    found[f"{slug(segment.name, f'place {number}', title)}.png"] = panel.image
        return found


def fill(package: str, template: str, **content: Any) -> str:
    """Render a package's template in the pages' common style; it may use what `volumen.recipes.reporting` has."""
    loader = ChoiceLoader([PackageLoader(package, "."), PackageLoader(__package__, ".")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["hex"] = _hex
    text: str = environment.get_template(template).render(pictures=pictures, **content)
    return text


def slug(*parts: str) -> str:
    """Make a file's name of words.

    Examples
    --------
    >>> slug("F0.5", "ink map of scroll 1")
    'f0-5-ink-map-of-scroll-1'
    """
    plain = unicodedata.normalize("NFKD", "-".join(parts)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
