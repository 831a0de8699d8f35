"""Location: a local path or a URL, read with the same few verbs; nothing is listed unless asked for."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aiohttp import ClientError

from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.damage import described
from volumen.sources.remote.mirror import mirror
from volumen.sources.remote.network import wait_for
from volumen.sources.remote.remote_file import open_remote


@dataclass(frozen=True)
class Location:
    """Where something is.

    Parameters
    ----------
    path
        Local path or URL (``https://…``, ``s3://…``, ``memory://…``), without a trailing slash.
    """

    path: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Location:
        """Take a path as people write it."""
        text = str(path)
        text = text.removeprefix("file://")
        if "://" in text:
            return cls(text.rstrip("/"))
        return cls(str(Path(text).expanduser()))

    @property
    def local(self) -> bool:
        """Whether it is on this machine's file system."""
        return "://" not in self.path

    @property
    def name(self) -> str:
        """Last part of the path."""
        return Path(self.path).absolute().name if self.local else posixpath.basename(self.path)

    @property
    def parent(self) -> Location:
        """The folder that it is in."""
        return Location(str(Path(self.path).absolute().parent) if self.local else posixpath.dirname(self.path))

    def __truediv__(self, name: str) -> Location:
        return Location(str(Path(self.path, name)) if self.local else f"{self.path}/{name}")

    def __str__(self) -> str:
        return self.path

    @property
    def _nameless(self) -> bool:
        """Whether no file of this machine can have such a path: it holds a null, or half a character."""
        try:
            return self.local and b"\0" in os.fsencode(self.path)
        except UnicodeEncodeError:
            return True

    def read(self) -> bytes | None:
        """Return the file's bytes, or None where there is no such file."""
        if self._nameless:
            return None
        try:
            if self.local:
                return Path(self.path).read_bytes()
            document = wait_for(mirror(self.path).document(self.path))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except (OSError, ClientError) as error:
            raise self._unreachable(error) from error
        return None if document is None else document.data

    def contents(self) -> bytes:
        """Return the file's bytes.

        Raises
        ------
        SourceNotFoundError
            When there is no such file.
        """
        found = self.read()
        if found is None:
            raise self.missing()
        return found

    def exists(self) -> bool:
        """Whether a file is there; on this machine, a folder too."""
        try:
            if self.local:
                return Path(self.path).exists()
            return wait_for(mirror(self.path).facts(self.path)) is not None
        except (OSError, ClientError) as error:
            raise self._unreachable(error) from error

    def listing(self) -> list[str] | None:
        """Return the names of what is in the folder, sorted, or None where that cannot be known."""
        if self._nameless:
            return None
        try:
            if self.local:
                return sorted(os.listdir(self.path)) or None
            return wait_for(mirror(self.path).listing(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ClientError) as error:
            if not self.local:
                return None
            raise self._unreachable(error) from error

    def open(self) -> IO[bytes]:
        """Open the file to read it; a remote one is fetched piece by piece.

        Raises
        ------
        SourceNotFoundError
            When there is no such file.
        """
        try:
            if self._nameless:
                raise FileNotFoundError
            if self.local:
                return open(self.path, "rb")
            found = open_remote(self.path)
        except FileNotFoundError as error:
            raise self.missing() from error
        except (OSError, ClientError) as error:
            raise self._unreachable(error) from error
        if found is None:
            raise self.missing()
        return found

    def size(self) -> int:
        """Return the file's length in bytes."""
        with self.open() as file:
            return file.seek(0, 2)

    def missing(self, what: str = "no file") -> SourceNotFoundError:
        """Return the error that says so; of a server, also that it may refuse what it has, which looks the same."""
        if self.local:
            return SourceNotFoundError(f"There is {what} at {self}; check the path.")
        return SourceNotFoundError(
            f"There is {what} at {self}, or the server refuses it. Check the address, and the login if it wants one."
        )

    def _unreachable(self, error: Exception) -> SourceError:
        return SourceError(f"{self} cannot be read: {described(error)}")
