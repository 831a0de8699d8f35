"""Which servers are asked for segments, and how: shared by the verbs that have a network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from volumen.settings.base import Count, Settings


def _check_host(value: str | None) -> str | None:
    if value is None:
        return None
    if not value.startswith(("https://", "http://")):
        raise ValueError(f"a host is a URL that starts with https:// or http://; got {value!r}")
    if "@" in value.removeprefix("https://").removeprefix("http://").split("/")[0]:
        raise ValueError("put user and password into ~/.netrc or VOLUMEN_HTTP_USER and VOLUMEN_HTTP_PASSWORD")
    return value.rstrip("/")


Host = Annotated[str | None, AfterValidator(_check_host)]

LayoutName = Literal["auto", "volpkg", "dev-zarr", "open-data", "ink-corpus"]
"""Ways of keeping segments on a server; auto is every one in turn."""


class Servers(Settings):
    """Which servers are asked, and how."""

    layout: LayoutName = Field(
        "auto",
        description="How the server keeps segments: layer images in .volpkg folders, zarrs of the development area, "
        "open data with a catalogue, or the corpus of ink labels; auto looks in one after the other",
    )
    host: Host = Field(None, description="URL of another server that keeps segments in that layout, such as a mirror")
    scroll: str | None = Field(None, description="Look only among the segments of this scroll, as the layout calls it")
    at_once: Annotated[Count, Field(le=32)] = Field(4, description="Most requests under way at a time")
