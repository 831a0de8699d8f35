"""The command line's options, derived from the fields of the settings; nothing is validated here."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from importlib.metadata import version
from inspect import cleandoc, get_annotations
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from volumen.settings.cache import BOUND, FOLDER
from volumen.settings.fields import bare, choices, describe, is_list, item_choices, metavar, option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

    from volumen.settings.base import Settings


_EXAMPLE = "Example:\n  "


class _Parser(argparse.ArgumentParser):
    """Say what is wrong in two lines: the error, and where the help is."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is not known where the verb's own help tells the rest, and name what is near it."""
        found, strange = super().parse_known_args(args, namespace)
        if strange:
            near = get_close_matches(strange[0].partition("=")[0], self._option_string_actions, n=1, cutoff=0.75)
            self.error(f"not understood: {' '.join(strange)}{f'; did you mean {near[0]}?' if near else ''}")
        return found, strange

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}\nSee `{self.prog} --help`.\n")


class _Formatter(argparse.HelpFormatter):
    """Keep names whole, paragraphs apart, and an example on a line of its own, so that they can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        parts = text.split("\n\n")
        return "\n\n".join(part if part.startswith(_EXAMPLE) else fill(part, width, indent) for part in parts)


def build_parser(verbs: Mapping[str, type[Settings]], families: Mapping[str, str]) -> argparse.ArgumentParser:
    """Build the parser of every verb from its settings; unset options are left out of the result.

    Of a verb of two words, such as ``pretrain spark``, the first is one of the ``families``, with its summary; the
    result then holds the words as ``verb`` and ``word``.
    """
    parser = _Parser(
        prog="volumen",
        description="From a scanned volume to text, with few labels.",
        epilog="`volumen VERB --help` tells each verb's options. Start with `volumen demo`. What is read from servers "
        f"is kept on this machine; {FOLDER} says in which folder, {BOUND} how much in GB (0: nothing).",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    _add_shared(parser)
    parser.add_argument("--version", action="version", version=version("volumen"))
    commands = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    tasks: dict[str, Any] = {}
    for name, settings in verbs.items():
        family, _, word = name.rpartition(" ")
        if family and family not in tasks:
            tasks_of = ", ".join(each.removeprefix(f"{family} ") for each in verbs if each.startswith(f"{family} "))
            summary = f"{families[family].rstrip('.')}: {tasks_of}."
            member = commands.add_parser(
                family, help=summary, description=summary, argument_default=argparse.SUPPRESS, allow_abbrev=False
            )
            _add_shared(member)
            tasks[family] = member.add_subparsers(dest="word", metavar="TASK", required=True)
        about = cleandoc(settings.__doc__ or "").replace("``", "`")
        command = tasks.get(family, commands).add_parser(
            word,
            help=about.partition("\n\n")[0],
            description=about,
            epilog=f"{_EXAMPLE}{settings.example}" if settings.example else None,
            formatter_class=_Formatter,
            argument_default=argparse.SUPPRESS,
            usage=_usage(name, settings),
            allow_abbrev=False,
        )
        _add_fields(command, settings)
        _add_shared(command.add_argument_group("Every verb has these"))
    return parser


def _add_shared(place: argparse._ActionsContainer) -> None:
    place.add_argument("--json", action="store_true", help="print events as JSON lines; the last one has the result")
    place.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _usage(verb: str, settings: type[Settings]) -> str:
    """Name what must be given; everything else is listed below it."""
    fields = settings.model_fields
    given = [f"{name.upper()}{' ...' if is_list(fields[name]) else ''}" for name in settings.positional]
    required = [name for name, field in fields.items() if field.is_required() and name not in settings.positional]
    options = [f"{option(name)} {_metavar(fields[name])}" for name in required]
    return " ".join(["volumen", verb, *given, *options, "[options]"])


def _add_fields(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    """Add what must be given, then the verb's own options, then those it shares with others, a group a class."""
    fields = settings.model_fields
    for name in settings.positional:
        many = {"nargs": "+"} if is_list(fields[name]) else {}
        parser.add_argument(name, metavar=name.upper(), help=describe(fields[name]).replace("%", "%%"), **many)  # type: ignore[arg-type]
    left = dict.fromkeys(name for name in fields if name not in settings.positional)
    _add_options(parser, [name for name in left if fields[name].is_required()], left, fields)
    for home in settings.__mro__:
        declared = [name for name in get_annotations(home) if name in left]
        if declared:
            about = (home.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            _add_options(parser if home is settings else parser.add_argument_group(about), declared, left, fields)


def _add_options(
    place: argparse._ActionsContainer, names: Sequence[str], left: dict[str, None], fields: Mapping[str, FieldInfo]
) -> None:
    for name in names:
        del left[name]
        _add_option(place, option(name), name, fields[name])


def _add_option(parser: argparse._ActionsContainer, flag: str, name: str, field: FieldInfo) -> None:
    common: dict[str, Any] = {"dest": name, "help": describe(field).replace("%", "%%"), "required": field.is_required()}
    kind = bare(field)
    if kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
    elif is_list(field):
        words = item_choices(field)
        # repeated rather than open-ended: `--mask a.png RUN SEGMENT` must not swallow what follows
        parser.add_argument(flag, action="append", choices=words, metavar=None if words else _metavar(field), **common)
    elif words := choices(kind):
        parser.add_argument(flag, choices=words, **common)
    else:
        parser.add_argument(flag, metavar=_metavar(field), **common)


def _metavar(field: FieldInfo) -> str:
    return metavar(field) or {int: "N", float: "X"}.get(bare(field), "TEXT")
