"""Sample data: the phantom segment, made on first use in the person's cache folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils import progress

from volumen.events import Started, Stepped
from volumen.plugin.layers import segment_data
from volumen.plugin.preferences import preferences
from volumen.settings import Phantom
from volumen.sources.open import open_segment
from volumen.sources.synthetic.phantom import make_phantom

if TYPE_CHECKING:
    from pathlib import Path

    from volumen.plugin.layers import LayerData


def phantom() -> list[LayerData]:
    """Return the layers of the default phantom; making it takes some seconds, once, and shows how far it is.

    napari wants the layers themselves, so it is made here and now; the Segment widget makes it as a job instead.
    """
    settings = phantom_settings()
    if not phantom_path().exists():
        with progress(desc="Making the phantom", total=0) as bar:
            for event in make_phantom(settings):
                if isinstance(event, Started):
                    bar.total = event.total
                elif isinstance(event, Stepped):
                    bar.update(event.done - bar.n)
    return segment_data(open_segment(phantom_path()))


def phantom_path() -> Path:
    """Return where the phantom is, or will be."""
    return preferences().cache / "phantom.zarr"


def phantom_settings() -> Phantom:
    """Return what makes it: the library's defaults."""
    return Phantom(out=str(phantom_path()))
