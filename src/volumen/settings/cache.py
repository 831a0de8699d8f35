"""How much of what is read from servers is kept on this machine, and where; set by the environment, for all verbs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError

from volumen.errors import SettingsError
from volumen.settings.base import Settings

FOLDER, BOUND = "VOLUMEN_CACHE", "VOLUMEN_CACHE_GB"


class Cache(Settings):
    """The cache of remote chunks and files. A child process inherits it with the environment."""

    folder: Path | None = Field(None, description="Where to keep them; the user's cache folder if not given")
    gigabytes: float = Field(20.0, ge=0, description="Most to keep, in GB; 0 keeps nothing")

    @classmethod
    def from_environment(cls) -> Self:
        """Read ``VOLUMEN_CACHE`` (a folder) and ``VOLUMEN_CACHE_GB`` (a number; 0 switches the cache off).

        Examples
        --------
        >>> Cache.from_environment().gigabytes  # doctest: +SKIP
        20.0

        Raises
        ------
        SettingsError
            When the number is none, or negative.
        """
        folder, bound = os.environ.get(FOLDER), os.environ.get(BOUND)
        given = {"folder": Path(folder).expanduser() if folder else None} | ({"gigabytes": bound} if bound else {})
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(f"{BOUND} must be a number of gigabytes, 0 or more; got {bound!r}.") from error
