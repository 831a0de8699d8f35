"""Index pages: the names of what is in a folder, from the page that a file server shows for it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from volumen.sources.remote.client import Client

_LINK = re.compile(r"""<a\s[^<>]*?href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)


async def list_folder(client: Client, url: str) -> list[str] | None:
    """Return the names in a remote folder, sorted, or None where the server does not list it."""
    page = await client.read(f"{url}/")
    return names_on(page, url) or None if page is not None else None


def names_on(page: bytes, folder: str) -> list[str]:
    """Return the names of a folder's own files and folders, sorted; links to other places are left out.

    Parameters
    ----------
    page
        HTML.
    folder
        URL of the folder, without a slash at its end.

    Examples
    --------
    >>> names_on(b'<a href="../">..</a> <a href="00.tif">0</a> <a href="/a/layers/">l</a>', "http://host/a")
    ['00.tif', 'layers']
    """
    base, names = URL(f"{folder}/"), set()
    for match in _LINK.finditer(page.decode(errors="replace")):
        try:
            target = base.join(URL(html.unescape(next(filter(None, match.groups()), "")), encoded=True))
            elsewhere = target.origin() != base.origin()
        except ValueError:  # a link to something else altogether
            continue
        head, _, name = target.path.rstrip("/").rpartition("/")
        if not elsewhere and head == base.path.rstrip("/") and _is_name(name):
            names.add(name)
    return sorted(names)


def _is_name(name: str) -> bool:
    """Say whether a file could be called so, here too."""
    return name not in ("", ".", "..") and name.isprintable() and "\\" not in name
