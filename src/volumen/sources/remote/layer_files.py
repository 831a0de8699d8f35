"""The layer images of a remote folder: listed where the server does so, else found by asking for their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import SettingsError, SourceError
from volumen.sources.arrays.layer_names import choose_layers
from volumen.sources.remote.index_page import list_folder

if TYPE_CHECKING:
    from volumen.sources.remote.client import Client

_FORMS = ("{:02d}.tif", "{:02d}.jpg", "{:03d}.tif", "{:02d}.png")
_USUAL, _DOUBLINGS = 65, 7  # layers of most volumes, and how often the search for the last one goes on twice as far


async def find_layer_files(client: Client, url: str, layers: tuple[int, int] | None) -> list[str]:
    """Return the names of layer images at a URL, in order, all or those of a range; none where there are none.

    Raises
    ------
    SettingsError
        When the range is not inside the volume.
    SourceError
        When layers are missing in between.
    """
    names = await list_folder(client, url)
    if names is not None:
        found = choose_layers(names, url)
        if not found or layers is None:
            return found
        if layers[1] > len(found):
            raise SettingsError(f"There are {len(found)} layers at {url}; got {layers[0]}:{layers[1]}. Choose less.")
        return found[layers[0] : layers[1]]
    start = 0 if layers is None else layers[0]
    for form in _FORMS:
        if await client.exists(f"{url}/{form.format(start)}"):
            stop = await _count(client, url, form) if layers is None else layers[1]
            if not await client.exists(f"{url}/{form.format(stop - 1)}"):
                raise SettingsError(f"There is no layer {stop - 1} at {url}; choose other --layers.")
            return [form.format(number) for number in range(start, stop)]
    if start and await find_layer_files(client, url, (0, 1)):
        raise SettingsError(f"There is no layer {start} at {url}; choose other --layers.")
    return []


async def _count(client: Client, url: str, form: str) -> int:
    """Return how many layers there are, from 0 on without a gap, by halving what is not known."""
    low = 1
    for high in (_USUAL - 1, *(_USUAL << doubled for doubled in range(_DOUBLINGS))):
        if not await client.exists(f"{url}/{form.format(high)}"):
            break
        low = high + 1
    else:
        raise SourceError(f"Over {high} layers seem to be at {url}; give --layers.")
    while low < high:
        middle = (low + high) // 2
        if await client.exists(f"{url}/{form.format(middle)}"):
            low = middle + 1
        else:
            high = middle
    return low
