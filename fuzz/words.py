"""Words: the command line, with its ranges, regions and places."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

from folders import parsed
from harness import Harness
from volumen.errors import SettingsError
from volumen.settings.command import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness import Parts


def _door(folder: Path) -> None:
    """Parse the lines of a file as arguments; what is understood must be the same when it is written and read again."""
    file = folder / "arguments.txt"
    arguments = file.read_text("utf-8", errors="surrogateescape").split("\n") if file.exists() else []
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        try:
            verb, settings = parsed(arguments)
        except SystemExit as ended:
            raise SettingsError("refused, or help") from ended
        again = parsed(command_line(verb, settings))
    if again != (verb, settings):
        raise AssertionError(f"{settings} is another on the command line: {again[1]}")


_COMMANDS = (
    "finetune a.zarr --out run --layers 22:42 --window 64 --held-out 0:400,320:640",
    "predict m.safetensors a.zarr --out ink.zarr --region 0:64,0:64 --layers 3:7",
    "search index --at a:1,2 --at b:3,4 -k 5 --json",
    "phantom p.zarr --size 64,96 --layers 8",
    "convert a.tif b.zarr --chunks 16,128,128",
    "pretrain spark a.zarr --out run --normalization clip",
    "train tagger photos.csv --out run --size 64,48",
    "download 20230827161847 --layers 22:42 --region 0:1,2:3 --at-once 3",
    "index a.zarr --encoder e.safetensors --out i --window 64",
    "compare ink a.zarr --out c --shares 0.1 --seeds 0",
    "report run --out r --debug",
)


def _seeds() -> Iterator[Parts]:
    for command in _COMMANDS:
        yield (command.replace(" ", "\n").encode(),)


HARNESSES = {
    "command line": Harness(
        name="command line",
        files=("arguments.txt",),
        door=_door,
        seeds=_seeds,
        words=("\n--", "0:1,2:3", "none", "--no-", "\n--\n", "22:42", ":", ","),
    )
}
