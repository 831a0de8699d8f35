"""JobFile: a verb and its settings in one JSON file, which any machine runs again by ``volumen run``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from volumen.errors import SettingsError, SourceError, SourceNotFoundError
from volumen.plain_json import parse_object
from volumen.settings.base import Settings
from volumen.settings.verbs import VERBS
from volumen.whole_files import write_whole

JOB = "job.json"
_NAMES = (JOB, "recipe.json")  # a job's and a run's


@dataclass(frozen=True)
class JobFile:
    """What to do: a verb, as the command line calls it, and its settings.

    Examples
    --------
    >>> import tempfile
    >>> from volumen.settings import Resume
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     JobFile("resume", Resume(run="runs/first")).write(Path(folder))
    ...     JobFile.read(folder)
    JobFile(verb='resume', settings=Resume(run='runs/first'))
    """

    verb: str
    settings: Settings

    def write(self, folder: Path) -> None:
        """Write ``job.json`` into a folder, complete or not at all."""
        words = {"verb": self.verb, "settings": self.settings.model_dump(mode="json")}
        write_whole(folder / JOB, json.dumps(words, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a job file or a run's recipe, by its path or by that of its folder.

        Raises
        ------
        SourceNotFoundError
            There is none.
        SourceError
            It is damaged, or holds no verb and settings.
        SettingsError
            It was written by a version with other verbs or settings.
        """
        file = _find(Path(path))
        try:
            found = parse_object(file.read_bytes())
            verb, values = str(found["verb"]), dict(found["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"Expected a file with a verb and its settings; {file} is damaged or another: {error}."
            ) from error
        if verb not in VERBS:
            raise SettingsError(f"{file} asks for {verb!r}; expected one of {', '.join(VERBS)}.")
        try:
            return cls(verb, VERBS[verb].model_validate(values))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise SettingsError(
                f"{file} does not fit `volumen {verb}` of this version: {wrong}. "
                "Correct the file, or run it with the version that wrote it."
            ) from error

    def elsewhere(self, out: str) -> Self:
        """Return the same work with another output path; a `SettingsError` where the verb has none."""
        if "out" not in type(self.settings).model_fields:
            raise SettingsError(f"`volumen {self.verb}` has no output path to change; leave --out out.")
        return type(self)(self.verb, self.settings.model_copy(update={"out": out}))

    def told(self, **flags: bool) -> Self:
        """Return the same work with flags such as ``resume`` raised; a `SettingsError` where the verb has none."""
        raised: dict[str, Any] = {name: True for name, flag in flags.items() if flag}
        for name in raised:
            if name not in type(self.settings).model_fields:
                raise SettingsError(f"`volumen {self.verb}` does not know --{name}; leave it out.")
        return type(self)(self.verb, self.settings.model_copy(update=raised))


def _find(path: Path) -> Path:
    found = path
    if path.is_dir():
        found = next((path / name for name in _NAMES if (path / name).is_file()), path)
    if not found.is_file():
        raise SourceNotFoundError(f"Expected a job file or a folder with {' or '.join(_NAMES)}; {path} is none.")
    return found
