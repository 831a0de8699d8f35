"""What is read of remote files: whole documents, and pieces of one state of a file or store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from volumen.sources.remote.origin import Span


@dataclass(frozen=True, kw_only=True)
class Document:
    """A small file, and the mark that the server gives it, which changes with its contents."""

    data: bytes
    mark: str | None

    @property
    def identity(self) -> str:
        """What tells this state of the file from any other: its bytes and mark, digested."""
        return hashlib.sha256(self.data + (self.mark or "").encode()).hexdigest()


@dataclass(frozen=True)
class Piece:
    """Bytes of one state of a file or store, which never change.

    Parameters
    ----------
    url
        The file that they are in.
    identity
        The state that they belong to.
    span
        Which bytes; all, if not given.
    """

    url: str
    identity: str
    span: Span | None = None

    @property
    def key(self) -> str:
        """What they are kept under."""
        return f"piece {self.url} {self.identity} {self.span}"
