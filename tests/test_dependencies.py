"""What pyproject.toml declares is what is imported: nothing is missing, and nothing is there for no use."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]
NAMES = {
    "faiss": "faiss-cpu",
    "importlinter": "import-linter",
    "PIL": "pillow",
    "pytestqt": "pytest-qt",
    "pydantic_core": "pydantic",
    "sklearn": "scikit-learn",
}
"""Distributions that are called otherwise than what is imported of them."""

UNSEEN = {
    "imagecodecs": "tifffile and zarr decode LZW, JPEG and their kin with it",
    "s3fs": "fsspec opens s3:// with it",
    "faiss-cpu": "imported by name, where it is there",
    "distributed": "the same",
}
"""What is used without being imported, and by whom."""

TOOLS = {"hatchling", "import-linter", "mypy", "pytest-qt", "pytest-timeout", "pytest-xdist", "pytest-xvfb", "ruff"}
"""What the tests run, rather than import."""


@pytest.fixture(scope="module")
def project() -> dict[str, dict[str, set[str]]]:
    """Return the names of the distributions that are declared, by extra and by group."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = {name: names(lines) for name, lines in told["project"]["optional-dependencies"].items()}
    groups = {name: names(lines) for name, lines in told["dependency-groups"].items()}
    return {"core": {"": names(told["project"]["dependencies"])}, "extras": extras, "groups": groups}


def names(lines: Iterable[str]) -> set[str]:
    found = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in lines}
    return found - {"volumen"}


def imported(*folders: str) -> set[str]:
    """Return the distributions that files below these folders import, wherever the statement stands."""
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    programs = [file for folder in ("benchmarks", "fuzz", "tests") for file in (ROOT / folder).rglob("*.py")]
    own = {file.stem for file in (*files, *programs)} | {"volumen"}
    roots = {root for file in files for root in roots_of(ast.parse(file.read_text("utf-8")))}
    assert {"numpy", "torch"} <= roots
    return {NAMES.get(root, root.replace("_", "-")) for root in roots - own - sys.stdlib_module_names}


def roots_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                yield module.partition(".")[0]
            case ast.Call(
                func=ast.Attribute(attr="import_module" | "importorskip"), args=[ast.Constant(value=str(name)), *_]
            ):
                yield name.partition(".")[0]


def test_what_the_library_imports_is_declared_without_the_window_in_the_core(project) -> None:
    rooms = sorted(path.name for path in (ROOT / "src" / "volumen").iterdir() if path.is_dir())
    headless = imported(*(f"src/volumen/{room}" for room in rooms if room != "plugin"))
    optional = project["extras"]["distributed"] | project["extras"]["search"]
    assert headless - optional - project["core"][""] == set()
    assert imported("src") - optional - project["core"][""] - project["extras"]["napari"] == set()


def test_what_is_declared_is_used(project) -> None:
    extras = project["extras"]
    declared = project["core"][""].union(*(extras[name] for name in extras if name != "bench"))
    assert declared - imported("src") - UNSEEN.keys() == set()
    assert extras["bench"] - imported("benchmarks") == set()


def test_the_napari_that_is_promised_has_what_the_window_uses() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    asked = {line.partition(">=")[2] for lines in extras.values() for line in lines if line.startswith("napari")}
    assert asked == {"0.9"}, "before it, a viewer has neither `scene` nor `canvas`"
    assert "napari, 0.9 or later" in (ROOT / "docs" / "napari.md").read_text("utf-8")


def test_what_tests_documentation_and_benchmarks_import_is_declared(project) -> None:
    extras, groups = project["extras"], project["groups"]
    library = project["core"][""].union(extras["napari"], *(extras[name] for name in ("distributed", "search", "s3")))
    assert imported("tests") - library - groups["test"] == set()
    assert groups["test"] - imported("tests") - extras["distributed"] - extras["search"] - extras["s3"] - TOOLS == set()
    assert imported("benchmarks") - library - extras["bench"] == set()
    assert imported("fuzz") - library - groups["fuzz"] - groups["test"] == set()
    assert imported("docs") - library - groups["docs"] == set()
