"""A process that has imported everything: each command is a fork of it, in its own session, with faults on demand.

Orders come as JSON lines on standard input, answers go out on standard output; `commands.Commands` starts it.
"""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import itertools
import json
import mmap
import os
import select
import signal
import struct
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
_ROOM_TAKING = ("open", "os.mkdir", "os.link", "os.symlink")
_COUNT = struct.Struct("q")


def watch(count: mmap.mmap, order: dict[str, Any]) -> None:
    """Count what changes files; at the ``kill_at``-th change die, from the ``full_at``-th on have no room for more."""
    kill_at, full_at, home = order.get("kill_at"), order.get("full_at"), order["home"]
    lock = threading.Lock()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not (isinstance(flags, int) and flags & _WRITING and isinstance(path, str | os.PathLike)):
                return
            if not os.path.abspath(os.fspath(path)).startswith(home):
                return
        elif event not in _CHANGES:
            return
        with lock:
            number = _COUNT.unpack_from(count)[0] + 1
            _COUNT.pack_into(count, 0, number)
        if number == kill_at:
            os.killpg(0, signal.SIGKILL)
        if full_at is not None and number >= full_at and event in _ROOM_TAKING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    sys.addaudithook(hook)


def jump(clock: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that jumps by days, back and forth, whenever it is looked at."""
    looks = itertools.count()
    return lambda: clock() + (-1) ** (look := next(looks)) * look * 86400


def starve(most: int) -> None:
    """Have a convolution of more than so many samples run out of memory, as a CUDA device says it."""
    import torch

    convolve = torch.nn.functional.conv2d

    def conv2d(image: Any, *arguments: Any, **named: Any) -> Any:
        if len(image) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
        return convolve(image, *arguments, **named)

    torch.nn.functional.conv2d = conv2d


def child(order: dict[str, Any], count: mmap.mmap) -> int:
    """Carry a command out, and return its exit code."""
    os.setsid()
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["home"])
    os.environ.update(order["environment"])
    if order["jumps"]:
        time.time = jump(time.time)
    if order["most_samples"] is not None:
        starve(order["most_samples"])
    watch(count, order)
    from volumen.cli import main

    try:
        return main(order["arguments"])
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1


def leave(code: int) -> None:
    """End as a command does, but for the taking apart of all that was imported, which costs seconds in a fork."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def begin(order: dict[str, Any], count: mmap.mmap) -> tuple[int, int]:
    """Fork; return the process, and what can be read from when all processes of its session have ended."""
    over, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(over)
        leave(child(order, count))
    os.close(held)
    return pid, over


def end(pid: int, over: int, order: dict[str, Any]) -> int:
    """Wait for a command's end, or make it; return how it ended, -9 where it was killed."""
    limit = order.get("kill_after")
    done, _, _ = select.select([over], [], [], order["longest"] if limit is None else limit)
    if not done:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not come to make a session of its own
            os.kill(pid, signal.SIGKILL)
    ended = os.waitpid(pid, 0)[1]
    os.close(over)
    if not done and limit is None:
        raise TimeoutError(f"{order['arguments']} took longer than {order['longest']} s.")
    return os.waitstatus_to_exitcode(ended)


def load_everything() -> None:
    """Import every verb and what they import late, but begin no thread, which a fork would lose."""
    from volumen.recipes import verbs

    for verb in verbs._HOMES:
        verbs.load_recipe(verb)
    for late in ("matplotlib.backends.backend_agg", "matplotlib.figure", "PIL.PngImagePlugin", "PIL.TiffImagePlugin"):
        importlib.import_module(late)
    if threading.active_count() > 1:
        raise RuntimeError(f"Importing has started threads: {threading.enumerate()}.")


def serve() -> None:
    load_everything()
    gc.freeze()  # else every fork copies all that was imported, to see whether it can go
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a command's own words go to its files, and nothing else is an answer
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        order, count = json.loads(line), mmap.mmap(-1, _COUNT.size)
        begun = time.monotonic()
        code = end(*begin(order, count), order)
        answer = {"code": code, "seconds": time.monotonic() - begun, "changes": _COUNT.unpack_from(count)[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
