"""The `volumen` command: settings from the command line in, events out, as progress bars or as JSON lines."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from volumen.allocator import tune_allocator
from volumen.cli.arguments import build_parser
from volumen.cli.interrupt import until_interrupted
from volumen.cli.next_step import next_step
from volumen.drafts import output_of
from volumen.errors import VolumenError
from volumen.events import Finished, to_json
from volumen.recipes.verbs import load_recipe
from volumen.settings.fields import option
from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from volumen.events import Event
    from volumen.settings.base import Settings

_UNREAD = 141
"""Exit code of programs that a closed pipe ends: 128 + SIGPIPE."""

FAMILIES = {
    "pretrain": "Learn an encoder from unlabelled data.",
    "train": "Learn a task from labelled data.",
    "compare": "Train the same task in several ways, and put them into one table.",
}
"""What the first word of a verb of two words means."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code.

    0 done, 1 findings of ``check``, 2 an error, 130 stopped by hand, 141 nobody reads what is printed any more.
    """
    parser = build_parser(VERBS, FAMILIES)
    options = vars(parser.parse_args(arguments))
    as_json, debug = options.pop("json", False), options.pop("debug", False)
    verb = " ".join(options.pop(part) for part in ("verb", "word") if part in options)
    try:
        result = _run(verb, VERBS[verb](**options), as_json)
    except KeyboardInterrupt:
        _say(
            "Stopped. What was finished is kept; the same command goes on, with --resume where it has that option; "
            "a run goes on with `volumen resume`."
        )
        return 130
    except BrokenPipeError:  # such as `head`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains of it at the end
        return _UNREAD
    except (VolumenError, ValidationError) as error:
        if debug:
            traceback.print_exc()
        else:
            _say(f"volumen {verb}: {_in_words(error, VERBS[verb])}")
        return 2
    except OSError as error:  # of the system, such as a folder that may only be read
        if debug or error.filename is None:
            raise
        place = output_of(Path(os.fsdecode(error.filename)))
        _say(
            f"volumen {verb}: {place} cannot be used: {error.strerror}. See that it can be read or written there, or "
            "give another path."
        )
        return 2
    step = None if as_json else next_step(verb, result)
    if step:
        _say(f"Next: {step}")
    return 1 if verb == "check" and result.get("findings") else 0


def _run(verb: str, chosen: Settings, as_json: bool) -> dict[str, Any]:
    """Pull every event of a verb and show it; of several processes only the first has events."""
    tune_allocator()
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # its banners are not events
    events = until_interrupted(load_recipe(verb)(chosen))
    return _print_lines(events) if as_json else _show(events)


def _print_lines(events: Iterator[Event]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for event in events:
        sys.stdout.write(to_json(event) + "\n")
        sys.stdout.flush()
        if isinstance(event, Finished):
            result = dict(event.result)
    return result


def _show(events: Iterator[Event]) -> dict[str, Any]:
    from volumen.cli.progress import show  # rich is needed only here, and `--help` should not wait for it

    return show(events)


def _in_words(error: VolumenError | ValidationError, kind: type[Settings]) -> str:
    """Say an error in one line or two, each setting by its name on the command line."""
    if isinstance(error, VolumenError):
        return str(error)
    lines: dict[str, str] = {}
    for problem in error.errors():
        name = f"{_called(str(problem['loc'][0]), kind)}: " if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        given = f" (got {problem['input']!r})" if problem["loc"] and "got" not in message else ""
        # of what may be written in several ways, the first says enough
        lines.setdefault(name, f"{name}{message if problem['loc'] else _as_options(message, kind)}{given}.")
    return "\n".join(lines.values())


def _called(name: str, kind: type[Settings]) -> str:
    return name.upper() if name in kind.positional else option(name)


def _as_options(message: str, kind: type[Settings]) -> str:
    """Call settings that a message names as the command line does; quoted words and parts of paths are left."""
    names = "|".join(name for name in kind.model_fields if name not in kind.positional)
    return re.sub(rf"(?<![\w'/.-])({names})(?![\w'/.-])", lambda found: option(found[1]), message)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
