"""Sample data: the phantom segment, made on first use in the person's cache folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_dir

from volumen.events import result
from volumen.plugin.reader import read_segment
from volumen.settings import Phantom
from volumen.sources.phantom import make_phantom

if TYPE_CHECKING:
    from volumen.plugin.layers import LayerData


def phantom() -> list[LayerData]:
    """Return the layers of the default phantom; making it takes some seconds, once."""
    path = Path(user_cache_dir("volumen")) / "phantom.zarr"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        result(make_phantom(Phantom(out=str(path))))
    return read_segment(str(path))
