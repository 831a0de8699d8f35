"""What all settings share: frozen, keyword-only, checked on creation; and the types that people write as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from volumen.plain_json import LARGEST

_MEETING = ("resume", "overwrite")  # what to do with an output that is there


class Settings(BaseModel):
    """Base of every verb's settings; the CLI's options and the plugin's forms are derived from the fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,
    )  # of the many verbs most are only listed: what checks them is built at first use

    positional: ClassVar[tuple[str, ...]] = ()
    """Fields that the command line takes without a ``--name``."""

    example: ClassVar[str] = ""
    """A command line that calls the verb, as its help shows it."""

    modes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Of settings with a field ``mode``: what each mode puts where nothing is given, beside the defaults."""

    def recorded(self) -> dict[str, Any]:
        """Return what the work was, by name, as JSON holds it; not how it met an earlier output.

        Who runs it again must say anew whether something is to be gone on with, or replaced.
        """
        met = {name: type(self).model_fields[name].default for name in _MEETING if name in type(self).model_fields}
        return self.model_dump(mode="json") | met

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        if isinstance(given, dict) and "mode" in given:
            # "none" takes back, on the command line, a number that the mode puts
            given = {name: None if cls._taken_back(name, value) else value for name, value in given.items()}
            return {**cls.modes.get(str(given["mode"]), {}), **given}
        return given

    @model_validator(mode="after")
    def _count(self) -> Self:
        for name in type(self).model_fields:
            if any(abs(number) > LARGEST for number in _whole_numbers(getattr(self, name))):
                raise ValueError(f"{name} holds a number over {LARGEST}; give a smaller one")
        return self

    @classmethod
    def _taken_back(cls, name: str, value: Any) -> bool:
        return value == "none" and any(
            mode.get(name) is not None and cls.model_fields[name].default is None for mode in cls.modes.values()
        )


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, tuple):
        for each in value:
            yield from _whole_numbers(each)
    elif isinstance(value, int):
        yield value


def _parse_range(value: Any) -> Any:
    """Read ``A:B``; leave anything else to pydantic."""
    if isinstance(value, str) and ":" in value:
        return _numbers(value.split(":"), value, "A:B, such as 22:42")
    return value


def _parse_layers(value: Any) -> Any:
    """Read ``A:B`` or a number of centre layers."""
    if isinstance(value, str) and ":" not in value:
        return _numbers([value], value, "a number of centre layers or A:B, such as 20 or 22:42")[0]
    return _parse_range(value)


def _parse_region(value: Any) -> Any:
    """Read ``Y0:Y1,X0:X1``."""
    if isinstance(value, str):
        parts = value.replace(",", ":").split(":")
        return _numbers(parts, value, "Y0:Y1,X0:X1, such as 0:400,320:640", count=4)
    return value


def _parse_pair(value: Any) -> Any:
    """Read ``H,W``."""
    if isinstance(value, str):
        return _numbers(value.split(","), value, "H,W, such as 1024,2048", count=2)
    return value


def _parse_point(value: Any) -> Any:
    """Read ``Y,X``."""
    if isinstance(value, str):
        return _numbers(value.split(","), value, "Y,X, such as 4096,1024", count=2)
    return value


def _parse_side(value: Any) -> Any:
    """Read ``N`` as a square, or ``H,W``."""
    if isinstance(value, str) and "," not in value:
        value = _numbers([value], value, "a side or H,W, such as 320 or 64,256")[0]
    return (value, value) if isinstance(value, int) else _parse_pair(value)


def _parse_triple(value: Any) -> Any:
    """Read ``Z,Y,X``."""
    if isinstance(value, str):
        return _numbers(value.split(","), value, "Z,Y,X, such as 16,128,128", count=3)
    return value


def _numbers(parts: list[str], text: str, form: str, count: int | None = None) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if not numbers or (count is not None and len(numbers) != count):
        raise ValueError(f"expected {form}; got {text!r}")
    return numbers


def _check_order(value: Any) -> Any:
    if isinstance(value, tuple):
        for start, stop in zip(value[::2], value[1::2], strict=True):
            if not 0 <= start < stop:
                raise ValueError(f"a range must start at 0 or later and end after it starts; got {start}:{stop}")
    return value


def _ranges_as_text(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    return ",".join(f"{start}:{stop}" for start, stop in zip(value[::2], value[1::2], strict=True))


def _numbers_as_text(value: tuple[int, ...]) -> str:
    return ",".join(str(number) for number in value)


def _form(metavar: str, unit: str = "") -> Any:
    """Say how a value is written, and in which unit where the description of a field need not say it."""
    return Field(json_schema_extra={"metavar": metavar, **({"unit": unit} if unit else {})})


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    Field(description="Where to compute; auto takes cuda, else mps, else the CPU"),
]
Precision = Annotated[
    Literal["auto", "32", "bf16", "16"],
    Field(description="Number format of the arithmetic, in bits; auto takes bf16 or 16 on CUDA, 32 elsewhere"),
]
MemoryFraction = Annotated[
    float,
    Field(gt=0, le=1, description="Share of a CUDA device's memory that may be taken; no effect on other devices"),
]
_Whole = Annotated[int, Field(ge=0)]

Region = Annotated[
    tuple[int, int, int, int],
    BeforeValidator(_parse_region),
    AfterValidator(_check_order),
    PlainSerializer(_ranges_as_text),
    _form("Y0:Y1,X0:X1", "pixels at full size, Y1 and X1 left out"),
]
"""A YX box in pixels at full size, half-open."""

Layers = Annotated[
    Count | tuple[int, int],
    BeforeValidator(_parse_layers),
    AfterValidator(_check_order),
    PlainSerializer(_ranges_as_text),
    _form("N|A:B", "counted from 0, B left out"),
]
"""How many centre layers, or which layers, half-open."""

LayerRange = Annotated[
    tuple[int, int],
    BeforeValidator(_parse_range),
    AfterValidator(_check_order),
    PlainSerializer(_ranges_as_text),
    _form("A:B", "counted from 0, B left out"),
]
"""Which layers, half-open."""

Size = Annotated[tuple[Count, Count], BeforeValidator(_parse_pair), PlainSerializer(_numbers_as_text), _form("H,W")]
"""Height and width in pixels."""

Point = Annotated[
    tuple[_Whole, _Whole],
    BeforeValidator(_parse_point),
    PlainSerializer(_numbers_as_text),
    _form("Y,X", "pixels at full size"),
]
"""A place in pixels at full size."""

Side = Annotated[tuple[Count, Count], BeforeValidator(_parse_side), PlainSerializer(_numbers_as_text), _form("N|H,W")]
"""Height and width in pixels, which one number makes equal."""

Shape = Annotated[
    tuple[Count, Count, Count],
    BeforeValidator(_parse_triple),
    PlainSerializer(_numbers_as_text),
    _form("Z,Y,X"),
]
"""A ZYX shape in voxels."""
