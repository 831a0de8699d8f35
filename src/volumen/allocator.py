"""The memory allocator of our own processes: told to keep what it was given."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8  # numbers of <malloc.h>
_LARGEST_INT = 2**31 - 1


def tune_allocator() -> bool:
    """Make glibc keep freed memory and serve large blocks from the heap; return whether it was done.

    By default glibc maps every large tensor afresh and gives it back to the kernel at once, and a network on a
    CPU then spends as long on page faults as on arithmetic. Setting ``M_MMAP_MAX`` to 0 and ``M_TRIM_THRESHOLD``
    to its maximum about halves a forward pass; one arena (``M_ARENA_MAX``) keeps that true for models that run in
    a thread other than the main one.

    It changes the whole process for good, and a process so tuned gives memory back only when it ends. So call it
    first thing in a process that is ours (the command line, a job, a benchmark), and never on import or from a
    library function: that would change somebody else's process. It does nothing where the C library is not
    glibc.

    Examples
    --------
    >>> isinstance(tune_allocator(), bool)
    True
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST_INT), (_M_ARENA_MAX, 1))
    return all(libc.mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in wanted)
