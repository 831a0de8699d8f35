"""A run folder is read by anybody, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from volumen.errors import SourceError, SourceNotFoundError
from volumen.events import Finished, Stepped, to_json
from volumen.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe.json").write_text(json.dumps({"verb": "finetune", "settings": {"epochs": 2}}))
    lines = [to_json(Stepped(done=1, total=2)), to_json(Stepped(done=2, total=2))]
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n" + lines[0][:12])
    return tmp_path


def test_what_is_in_it_is_read(folder: Path) -> None:
    run = RunFolder.open(str(folder))
    assert run.recipe["settings"] == {"epochs": 2}
    assert [event.done for event in run.events()] == [1, 2], "a line that is still being written is left out"
    assert not run.finished
    with open(run.events_path, "a") as file:
        file.write("\n")
        file.seek(0)
        file.truncate()
        file.write(to_json(Finished()) + "\n")
    assert run.finished
    assert run.best_path.parent == run.report_path.parent == run.state_path.parent.parent == folder


def test_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"Expected a run folder with a recipe\.json"):
        RunFolder.open(tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(SourceError, match="is damaged"):
        RunFolder.open(tmp_path)


def test_windows_read_runs_and_start_jobs_without_torch() -> None:
    program = (
        "import sys, volumen.run_folder, volumen.tail, volumen.plugin.jobs, volumen.plugin.run_list; "
        "print([name for name in ('torch', 'zarr', 'qtpy', 'napari') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
