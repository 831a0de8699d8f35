"""memory_errors, out_of_memory: what allocators say when a device is full, as Python's one error for it, or as ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from volumen.errors import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")  # how CPU and MPS allocators say it


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise `MemoryError` where what is done inside finds no memory, on whatever device; other errors stay.

    Examples
    --------
    >>> with memory_errors():
    ...     raise RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)")
    Traceback (most recent call last):
    MemoryError: MPS backend out of memory (MPS allocated: 8 GB)
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _NO_MEMORY):
            raise
        raise MemoryError(str(error)) from error


@contextmanager
def out_of_memory(doing: str, cure: str) -> Iterator[None]:
    """Raise `OutOfMemoryError` where what is done inside finds no memory, unless that said so itself.

    Parameters
    ----------
    doing
        What was being done, after "while".
    cure
        A sentence.
    """
    try:
        with memory_errors():
            yield
    except OutOfMemoryError:
        raise
    except MemoryError as error:
        raise OutOfMemoryError(f"Memory ran out while {doing}. {cure}") from error
