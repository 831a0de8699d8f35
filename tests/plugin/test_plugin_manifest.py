"""The manifest is valid, all that it names is there, discovery loads nothing heavy, and no Qt binding is pulled in."""

import importlib
import re
import subprocess
import sys
from importlib.metadata import requires

import pytest

npe2 = pytest.importorskip("npe2", reason="needs the extra [napari]")

_BINDINGS = ("pyqt5", "pyqt6", "pyside2", "pyside6")


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_distribution("volumen")


def test_every_command_is_there(manifest):
    manifest.validate_imports()


def test_npe2_finds_nothing_wrong():
    done = subprocess.run([sys.executable, "-m", "npe2", "validate", "volumen"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_is_used_and_every_use_has_a_command(manifest):
    given = manifest.contributions
    commands = {command.id for command in given.commands}
    menus = {item.command for items in given.menus.values() for item in items if hasattr(item, "command")}
    others = {
        part.command
        for parts in (given.widgets, given.readers, given.writers or [], given.sample_data)
        for part in parts
    }
    assert menus | others == commands


def test_menus_are_ones_that_napari_shows(manifest):
    constants = pytest.importorskip("napari._app_model.constants._menus")
    own = {submenu.id for submenu in manifest.contributions.submenus}
    assert set(manifest.contributions.menus) - own <= {str(menu) for menu in constants.MenuId.contributables()}
    assert own <= set(manifest.contributions.menus)


def test_widgets_take_the_viewer_by_the_name_that_napari_knows(manifest):
    by_id = {command.id: command for command in manifest.contributions.commands}
    for widget in manifest.contributions.widgets:
        module, name = by_id[widget.command].python_name.split(":")
        code = getattr(importlib.import_module(module), name).__init__.__code__
        assert code.co_varnames[1 : code.co_argcount] == ("napari_viewer",), widget.display_name


def test_discovery_loads_neither_torch_nor_qt():
    program = (
        "import sys, npe2; npe2.PluginManager.instance().discover(); "
        "assert 'volumen' in [m.name for m in npe2.PluginManager.instance().iter_manifests()]; "
        "print([name for name in ('torch', 'qtpy', 'volumen.plugin') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_window_never_loads_torch(manifest):
    """All modules that the window may import, in one process: learning happens in others."""
    names = sorted({command.python_name.split(":")[0] for command in manifest.contributions.commands})
    program = (
        f"import sys, importlib; [importlib.import_module(name) for name in {names}]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_the_extra_all_pulls_in_a_qt_binding():
    """Who installs ``volumen`` or ``volumen[napari]`` keeps the binding that is there; ``napari[all]`` brings one."""
    wanted = [re.sub(r"\s", "", line.lower()).replace('"', "'") for line in requires("volumen")]
    elsewhere = [line for line in wanted if "extra=='all'" not in line]
    assert any(line.startswith("napari>") for line in elsewhere)
    for line in elsewhere:
        name = re.match(r"[a-z0-9._-]+", line)[0]
        assert name not in _BINDINGS
        assert not line.startswith("napari[")
        assert "volumen[all]" not in line
