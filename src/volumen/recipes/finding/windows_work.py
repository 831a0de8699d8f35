"""WindowsWork: what indexing needs in the process that computes it, opened there once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.prediction.cells import cell_size
from volumen.prediction.embed import Opened
from volumen.recipes.finding.embedding import load_embedder
from volumen.recipes.opening import open_all
from volumen.sources.decoded import decoded_at_once
from volumen.sources.index.window_index import WindowIndex
from volumen.training.devices import limit_memory

if TYPE_CHECKING:
    from volumen.prediction.forward import Forward
    from volumen.settings import Index
    from volumen.sources.segment import Segment
    from volumen.windows import Range


@dataclass(frozen=True, kw_only=True)
class WindowsWork:
    """Opens the encoder of an index and a segment in whichever process calls it; a process keeps what it opened last.

    Parameters
    ----------
    settings
        With paths in full, and the device that was chosen.
    place
        Of the segment among the settings' segments.
    layers
        Half-open range of layers to read of it.
    run
        Tells this run from others, so that a process opens everything afresh for each.
    """

    settings: Index
    place: int
    layers: Range
    run: str

    def __call__(self) -> Opened:
        """Open, or return what is open."""
        return _opened(self)


def open_embedder(settings: Index) -> Forward:
    """Load the encoder of the index that is there, within the share of the memory that may be taken."""
    limit_memory(settings.device, settings.memory_fraction)
    index = WindowIndex.open(Path(settings.out))
    return load_embedder(index, device=settings.device, precision=settings.precision)


def ready(forward: Forward, segment: Segment, settings: Index, layers: Range) -> Opened:
    """Return what embeds windows of a segment, and what reads it."""
    cell = cell_size(decoded_at_once(segment)[1:])
    return Opened(forward.plain, segment.read, segment.shape, layers, settings.window, cell)


@lru_cache(maxsize=1)
def _opened(work: WindowsWork) -> Opened:
    segment = open_all(work.settings.segments, work.settings)[work.place]
    return ready(_loaded(work.settings, work.run), segment, work.settings, work.layers)


@lru_cache(maxsize=1)
def _loaded(settings: Index, run: str) -> Forward:
    return open_embedder(settings)
