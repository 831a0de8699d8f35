"""The front door is short, complete and light: importing it loads none of the heavy packages."""

import difflib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import volumen
from volumen.errors import SettingsError

HELP = """
import contextlib, io, volumen.cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    volumen.cli.main(["finetune", "--help"])
"""
DOCS = Path(__file__).parents[1] / "docs"
HEAVY = ("torch", "zarr", "dask", "qtpy", "napari", "PyQt6", "matplotlib")


def modules_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import volumen",
        "import volumen.settings",
        "import volumen.cli",
        HELP,
    ],
)
def test_nothing_heavy_is_loaded(statement):
    assert not modules_after(statement) & set(HEAVY)


def test_every_name_leads_somewhere():
    assert len(volumen.__all__) <= 20
    assert set(volumen.__all__) == set(volumen._HOMES)
    for name in volumen.__all__:
        assert getattr(volumen, name) is not None
    assert set(volumen.__all__) <= set(dir(volumen))


def test_what_is_public_changes_only_where_somebody_says_so():
    made = runpy.run_path(str(DOCS / "make_public.py"))["make"]().splitlines()
    recorded = (DOCS / "public.txt").read_text("utf-8").splitlines()
    changes = [line for line in difflib.unified_diff(recorded, made, "recorded", "now", n=0, lineterm="") if line]
    assert not changes, "\n".join([*changes, "If that is meant, say so in CHANGELOG.md: python docs/make_public.py"])


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = volumen.nothing


def test_a_family_takes_its_own_settings_only():
    with pytest.raises(SettingsError, match="those of `volumen resume`"):
        list(volumen.train(volumen.settings.Resume(run="runs/first")))
    with pytest.raises(SettingsError, match="the settings of a verb"):
        list(volumen.pretrain(object()))
