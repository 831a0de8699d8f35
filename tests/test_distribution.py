"""What is released: the wheel holds the package and nothing else, the source what it takes to build and test it."""

from __future__ import annotations

import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from volumen.settings.verbs import VERBS

builders = pytest.importorskip("hatchling.builders.wheel", reason="needs the dependency group test")
sdists = pytest.importorskip("hatchling.builders.sdist", reason="needs the dependency group test")

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not in a source tree")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Return the files of the wheel, by name."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = builders.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names of the files of the source distribution, below its folder."""
    folder = tmp_path_factory.mktemp("sdist")
    (built,) = sdists.SdistBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with tarfile.open(built) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_holds_every_module_the_manifest_and_the_mark_of_types(wheel: Mapping[str, bytes]) -> None:
    package = ROOT / "src" / "volumen"
    files = (file for file in package.rglob("*") if file.is_file() and file.suffix != ".pyc")
    held = {name for name in wheel if name.startswith("volumen/")}
    assert held == {f"volumen/{file.relative_to(package).as_posix()}" for file in files}
    assert {"volumen/napari.yaml", "volumen/py.typed", "volumen/recipes/reporting/page.css"} <= held
    assert wheel["volumen/napari.yaml"] == (package / "napari.yaml").read_bytes()


def test_the_wheel_holds_nothing_else(wheel: Mapping[str, bytes]) -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    records = f"volumen-{told['version']}.dist-info/"
    assert {name.partition("/")[0] for name in wheel} == {"volumen", records.rstrip("/")}
    kinds = {".py", ".yaml", ".typed", ".j2", ".css"}
    assert {Path(name).suffix for name in wheel if name.startswith("volumen/")} == kinds
    assert {name.removeprefix(records) for name in wheel if name.startswith(records)} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert not [name for name in wheel if "test" in name or "__pycache__" in name]
    assert max(map(len, wheel.values())) < 200_000


def test_the_wheel_says_what_it_is(wheel: Mapping[str, bytes]) -> None:
    told = {Path(name).name: content.decode() for name, content in wheel.items() if ".dist-info/" in name}
    assert "License-Expression: BSD-3-Clause\n" in told["METADATA"]
    assert "Requires-Python: >=3.11\n" in told["METADATA"]
    assert "volumen = volumen.cli:main" in told["entry_points.txt"]
    assert "volumen = volumen:napari.yaml" in told["entry_points.txt"]


def test_the_source_can_be_built_and_tested(source: set[str]) -> None:
    needed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "tox.ini", "napari.yaml"}
    assert needed <= source
    for folder in ("src", "tests", "docs", "benchmarks"):
        ours = {file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob("*.py")}
        assert {name for name in ours if "_build" not in name and "__pycache__" not in name} <= source
    assert not [name for name in source if "__pycache__" in name or name.startswith("docs/_build")]


def test_version_and_changelog_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines() if line.startswith("## ")]
    assert headings[0].split()[1] == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_changelog_names_every_verb() -> None:
    told = (ROOT / "CHANGELOG.md").read_text("utf-8")
    missing = [verb for verb in VERBS if verb.split()[-1] not in told]
    assert not missing
