"""Logins: user and password for a server that demands them, from netrc or the environment, and never kept."""

from __future__ import annotations

import base64
import os
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from yarl import URL

USER, PASSWORD = "VOLUMEN_HTTP_USER", "VOLUMEN_HTTP_PASSWORD"
"""Environment variables with a login for whatever server demands one."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def find_login(url: URL) -> str | None:
    """Return what ``Authorization`` says to a server: by its name in netrc, else by the environment; None for nothing.

    There is none for a connection that is not encrypted, except to this machine.

    Raises
    ------
    SettingsError
        When the netrc file cannot be read.
    """
    if url.host is None or (url.scheme != "https" and url.host not in _LOOPBACK):
        return None
    found = _in_netrc(url.host)
    if found is None and os.environ.get(USER):
        found = (os.environ[USER], os.environ.get(PASSWORD, ""))
    return None if found is None else "Basic " + base64.b64encode(":".join(found).encode()).decode()


def _in_netrc(host: str) -> tuple[str, str] | None:
    name = "_netrc" if os.name == "nt" else ".netrc"
    path = Path(os.environ.get("NETRC") or Path.home() / name)
    if not path.is_file():
        return None
    try:
        entry = netrc(path).authenticators(host)
    except (NetrcParseError, OSError) as error:  # the error's text may hold the password
        raise SettingsError(f"{path} cannot be read as a netrc file ({type(error).__name__}); mend it.") from None
    return None if entry is None else (entry[0], entry[2] or "")
