"""Settings become the command line that stands for them, and come back equal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from volumen import settings as choose
from volumen.cli import FAMILIES
from volumen.cli.arguments import build_parser
from volumen.settings.command import absolute, command_line
from volumen.settings.fields import bare, choices, is_list, limits, metavar
from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from volumen.settings.base import Settings

PARSER = build_parser(VERBS, FAMILIES)
PATHS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).filter(
    lambda path: path != "--"  # argparse takes it for the end of the options, wherever it stands
)
RANGES = st.tuples(st.integers(0, 50), st.integers(1, 50)).map(lambda pair: (pair[0], pair[0] + pair[1]))
SIDES = st.sampled_from((32, 64, 320)).map(lambda side: (side, 2 * side))
FORMS = {
    "PATH": PATHS,
    "N|A:B": st.one_of(st.integers(1, 60), RANGES),
    "Y0:Y1,X0:X1": st.tuples(RANGES, RANGES).map(lambda pair: (*pair[0], *pair[1])),
    "H,W": SIDES,
    "N|H,W": SIDES,
    "Y,X": st.tuples(st.integers(0, 9), st.integers(0, 9)),
    "SEGMENT:Y,X": st.lists(
        st.tuples(PATHS, st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=3, unique=True
    ).map(tuple),
    "Z,Y,X": st.tuples(*[st.integers(1, 99)] * 3),
    "X,X": st.lists(st.floats(0.001, 1), min_size=1, max_size=3, unique=True).map(tuple),
    "A:B": RANGES,
    "N,N": st.lists(st.integers(0, 255), min_size=1, max_size=3).map(tuple),
}
ENDINGS = {"boxes": {"out": ".csv"}}  # of paths that say by their ending what is written


def parsed(arguments: list[str]) -> tuple[str, Settings]:
    options = vars(PARSER.parse_args(arguments))
    verb = " ".join(options.pop(part) for part in ("verb", "word") if part in options)
    return verb, VERBS[verb](**options)


def values_of(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Draw what a field takes, from its type and bounds."""
    kind, form = bare(field), metavar(field)
    if is_list(field) and form not in ("X,X", "N,N", "SEGMENT:Y,X"):
        words = choices(get_args(kind)[0])
        return st.lists(st.sampled_from(words) if words else PATHS, min_size=1, max_size=3).map(tuple)
    if form in FORMS:
        values = FORMS[form]
    elif words := choices(kind):
        values = st.sampled_from(words)
    elif kind is bool:
        values = st.booleans()
    else:
        bounds = limits(field)
        low, high = bounds.get("ge", bounds.get("gt", 0)), bounds.get("le", bounds.get("lt", 1000))
        numbers = st.integers(int(low), int(high)) if kind is int else st.floats(low, high)
        strict = {bounds.get("gt"), bounds.get("lt")}
        values = numbers.filter(lambda number: number not in strict)
    return values if type(None) not in get_args(field.annotation) else st.one_of(st.none(), values)


@st.composite
def chosen(draw: st.DrawFn, verb: str) -> Settings:
    """Draw valid settings of a verb, a few of them other than the default."""
    fields = VERBS[verb].model_fields
    required = [name for name, field in fields.items() if field.is_required()]
    free = [name for name in fields if name not in required]
    others = draw(st.lists(st.sampled_from(free), max_size=4, unique=True)) if free else []
    values: dict[str, Any] = {name: draw(values_of(fields[name])) for name in (*required, *others)}
    for name, ending in ENDINGS.get(verb, {}).items():
        values[name] += ending
    for name in others:
        try:
            return VERBS[verb](**values)
        except ValidationError:  # two of them contradict each other
            del values[name]
    return VERBS[verb](**values)


@pytest.mark.parametrize("verb", VERBS)
def test_settings_survive_the_command_line(verb: str) -> None:
    @settings(max_examples=60)
    @given(chosen(verb))
    def round_trip(wanted: Settings) -> None:
        assert parsed(command_line(verb, wanted)) == (verb, wanted)

    round_trip()


def test_only_what_differs_is_said() -> None:
    plain = choose.Finetune(segments=("a.zarr",), out="run")
    assert command_line("finetune", plain) == ["finetune", "a.zarr", "--out", "run"]
    changed = plain.model_copy(update={"resized_crop": False, "mask": ("m 1.png", "m2.png"), "region": (0, 9, 3, 8)})
    assert command_line("finetune", changed) == [
        *("finetune", "a.zarr", "--mask", "m 1.png", "--mask", "m2.png"),
        *("--out", "run", "--region", "0:9,3:8", "--no-resized-crop"),
    ]


def test_a_mode_counts_as_the_default() -> None:
    paper = choose.CompareInk(segments=("a",), out="o", mode="paper", epochs=20)
    assert command_line("compare ink", paper) == [
        "compare",
        "ink",
        "a",
        "--out",
        "o",
        "--epochs",
        "20",
        "--mode",
        "paper",
    ]
    no_size = choose.CompareInk(segments=("a",), out="o", mode="paper", input_size=None)
    assert "none" in command_line("compare ink", no_size)
    assert parsed(command_line("compare ink", no_size))[1].input_size is None


def test_paths_are_written_in_full_and_urls_left_alone() -> None:
    here = choose.Predict(checkpoint="run", segment="s3://bucket/seg.zarr", out="ink.zarr", mask=("m.png",))
    full = absolute(here)
    assert (full.checkpoint, full.out, full.mask) == (
        os.path.abspath("run"),
        os.path.abspath("ink.zarr"),
        (os.path.abspath("m.png"),),
    )
    assert full.segment == here.segment
    assert absolute(choose.Evaluate(prediction="/p", segment="/s")).out is None


def test_a_home_folder_is_written_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    given = choose.Finetune(segments=("~/a.zarr", "https://example.org/~b.zarr"), out="~/run")
    full = absolute(given)
    assert full.segments == (os.path.abspath("/home/somebody/a.zarr"), "https://example.org/~b.zarr")
    assert full.out == os.path.abspath("/home/somebody/run")
