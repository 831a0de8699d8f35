"""The walls between the rooms hold: the import-linter contracts of pyproject.toml."""

from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_rooms_import_only_what_the_design_allows(capsys):
    config = Path(__file__).parents[1] / "pyproject.toml"
    status = lint_imports(config_filename=str(config), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out
