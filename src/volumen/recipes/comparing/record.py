"""comparison.json: what a comparison is of, so that it goes on with the same, and what came out."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from volumen.drafts import clear_drafts, draft_of
from volumen.errors import OutputExistsError, SettingsError, SourceError
from volumen.events import Finished, to_json
from volumen.whole_files import draft_name, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FILE = "comparison.json"
_FREE = ("out", "overwrite", "resume", "save_seconds", "places", "examples")  # what may differ when it is gone on with
_LISTS = ("pretext", "share", "decoder", "training")  # what may become longer then: its cells are runs of their own
_FOUND = ("encoders", "characters")  # what depends on how many runs there are


class ComparisonSettings(Protocol):
    """Settings of a comparison that can be overwritten, or gone on with."""

    @property
    def out(self) -> str:
        """Folder of the comparison."""
        ...

    @property
    def overwrite(self) -> bool:
        """Whether what is there is replaced."""
        ...

    @property
    def resume(self) -> bool:
        """Whether what is there is gone on with."""
        ...

    def recorded(self) -> dict[str, Any]:
        """Return by name what the work is."""
        ...


@dataclass(frozen=True)
class Record:
    """The folder of a comparison, and what its ``comparison.json`` says.

    Parameters
    ----------
    path
        The folder.
    content
        ``settings``, ``versions``, ``segments`` (identities of the data), ``encoders`` (file, digest, what was loaded
        and what its header says, by name), what else was found out about the data, and, once it is finished,
        ``results``.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def begin(cls, verb: str, chosen: ComparisonSettings, look: Callable[[], Mapping[str, Any]]) -> Record:
        """Begin a comparison, or go on with the one at its output path; what does not fit is found before any training.

        Parameters
        ----------
        verb
            Words of the command, such as ``compare ink``.
        chosen
            Settings of the comparison.
        look
            Opens everything that the runs will open, and says what is there: `content`, but for the results.

        Raises
        ------
        SettingsError
            It was begun with other settings, or more seeds; the message says which.
        SourceError
            A segment, a label or an encoder file is no longer what it was begun with.
        OutputExistsError
            Something else is there, or it is not to be gone on with.
        CheckpointError
            An encoder file does not fit.
        """
        path = Path(chosen.out)
        clear_drafts(path)
        before = _read(path, verb)
        if before is None and path.exists() and (not path.is_dir() or _holds_more(path)):
            raise OutputExistsError(
                f"{path} is already there and is no comparison, so it is not replaced; give another path."
            )
        if before is not None and not chosen.overwrite:
            if not chosen.resume:
                raise OutputExistsError(
                    f"{path} holds a comparison already; leave --no-resume out, give another path, or replace it "
                    "with --overwrite."
                )
            _check_settings(path, before, chosen)
        now = look()
        if before is not None and not chosen.overwrite:
            _check_data(path, before, now)
            grown = {name: value for name, value in chosen.recorded().items() if name in ("seeds", *_LISTS)}
            found = {name: now[name] for name in _FOUND if name in now}
            return cls(path, {**before, **found, "settings": {**before["settings"], **grown}})
        if before is not None:
            aside = draft_of(path)
            path.rename(aside)
            shutil.rmtree(aside)
        record = cls(path, now)
        record.write()
        return record

    def write(self, results: Mapping[str, Any] | None = None) -> None:
        """Write ``comparison.json``, whole or not at all; numbers that are undefined become null."""
        content = {**self.content, "results": results}
        plain = json.loads(to_json(Finished(result=content)))["result"]
        write_whole(self.path / FILE, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def _read(path: Path, verb: str) -> dict[str, Any] | None:
    try:
        content = json.loads((path / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise SourceError(f"{path / FILE} is damaged: {error}. Restore it, or begin another comparison.") from error
    if not isinstance(content, dict) or content.get("verb") != verb:
        raise SourceError(f"{path / FILE} was not written by `volumen {verb}`; give another path.")
    return content


def _check_settings(path: Path, before: Mapping[str, Any], chosen: ComparisonSettings) -> None:
    recorded = before["settings"]
    changed = [
        f"{name} was {recorded.get(name)!r}, now {value!r}"
        for name, value in chosen.recorded().items()
        if name not in _FREE and recorded.get(name) != value and not _only_more(name, recorded.get(name), value)
    ]
    if changed:
        raise SettingsError(
            f"{path} was begun with other settings: {'; '.join(changed)}. Give those again, or another path."
        )


def _only_more(name: str, before: Any, now: Any) -> bool:
    """Say whether all that changes is that more runs of every cell, or more cells, follow."""
    if name in _LISTS:
        return set(_each(before)) <= set(_each(now))
    return name == "seeds" and isinstance(before, int) and before < now


def _each(recorded: Any) -> Sequence[str]:
    """Return the values of a setting of several, which job files write in one word or one by one."""
    return recorded.split(",") if isinstance(recorded, str) else recorded or ()


def _check_data(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [
        f"{name} of {segment['name']}"
        for segment, other in zip(before["segments"], now["segments"], strict=True)
        for name in segment
        if segment[name] != other.get(name)
    ]
    changed += [
        f"the encoder file {encoder['file']}"
        for name, encoder in before["encoders"].items()
        if encoder["sha256"] != now["encoders"].get(name, encoder)["sha256"]
    ]
    if changed:
        raise SourceError(
            f"{path} cannot go on: {', '.join(changed)} changed since it was begun. "
            f"Bring the former data back, or begin another comparison."
        )


def _holds_more(folder: Path) -> bool:
    """Whether there is anything but what a kill leaves of a first record."""
    return any(each.name != draft_name(FILE) for each in folder.iterdir())
