"""Location: a local path or an fsspec URL, read with the same few verbs; nothing is listed unless asked for."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from aiohttp import ClientError, ClientResponseError
from fsspec.core import url_to_fs

from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.damage import described

if TYPE_CHECKING:
    import os

_ABSENT = (403, 404, 410)  # object stores answer 403 for a missing key when listing is not allowed


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

    def read(self) -> bytes | None:
        """Return the file's bytes, or None where there is no such file."""
        fs, path = self._filesystem()
        try:
            return cast("bytes", fs.cat_file(path))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except (OSError, ClientError) as error:
            if _absent(error) and not self.local:
                return None
            raise self._unreachable(error) from error

    def exists(self) -> bool:
        """Whether a file or folder is there; over http a folder may not answer."""
        fs, path = self._filesystem()
        try:
            return bool(fs.exists(path))
        except (OSError, ClientError) as error:
            raise self._unreachable(error) from error

    def listing(self) -> list[str] | None:
        """Return the names of what is in the folder, sorted, or None where that cannot be known."""
        fs, path = self._filesystem()
        try:
            names = [posixpath.basename(str(entry).rstrip("/")) for entry in fs.ls(path, detail=False)]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ClientError) as error:
            if not self.local:
                return None
            raise self._unreachable(error) from error
        return sorted(names) or None

    def open(self) -> IO[bytes]:
        """Open the file to read it; a remote one is fetched piece by piece.

        Raises
        ------
        SourceNotFoundError
            When there is no such file.
        """
        fs, path = self._filesystem()
        try:
            return cast("IO[bytes]", open(path, "rb") if self.local else fs.open(path, "rb"))
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"There is no file at {self}.") from error
        except (OSError, ClientError) as error:
            raise self._unreachable(error) from error

    def size(self) -> int:
        """Return the file's length in bytes."""
        with self.open() as file:
            return file.seek(0, 2)

    def _filesystem(self) -> tuple[Any, str]:
        try:
            return cast("tuple[Any, str]", url_to_fs(self.path))
        except ImportError as error:
            raise SourceError(f"{self} needs a package that is not installed: {error}") from error
        except ValueError as error:
            raise SourceError(f"{self} is no URL that can be read ({error}); https and s3 are known.") from error

    def _unreachable(self, error: Exception) -> SourceError:
        return SourceError(f"{self} cannot be read: {described(error)}")


def _absent(error: Exception) -> bool:
    if isinstance(error, ClientResponseError):
        return error.status in _ABSENT
    return isinstance(error, PermissionError)
