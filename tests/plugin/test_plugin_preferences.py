"""Preferences come from napari's pages, and are the library's defaults where nothing was chosen."""

from pathlib import Path

import pytest

settings = pytest.importorskip("napari.settings", reason="needs the extra [napari]")

from volumen.plugin import preferences as module  # noqa: E402
from volumen.plugin.preferences import preferences  # noqa: E402
from volumen.settings import Finetune, Predict  # noqa: E402


@pytest.fixture
def pages(tmp_path):
    settings._clear_plugin_settings_cache()
    yield settings.get_plugin_settings("volumen", path_dir=None)
    settings._clear_plugin_settings_cache()


def test_the_defaults_are_the_librarys(pages):
    chosen = preferences()
    for kind in (Finetune, Predict):
        assert kind.model_fields["device"].default == chosen.device
        assert kind.model_fields["memory_fraction"].default == chosen.memory_fraction
    assert chosen.cache.is_absolute()
    assert chosen.runs.is_absolute()


def test_what_a_person_chose_is_taken(pages):
    pages.computing.device = "cpu"
    pages.computing.memory_fraction = 0.5
    pages.folders.runs = "~/my runs"
    chosen = preferences()
    assert (chosen.device, chosen.memory_fraction, chosen.runs) == ("cpu", 0.5, Path.home() / "my runs")


def test_the_page_refuses_what_the_settings_refuse(pages):
    devices = Finetune.model_json_schema()["properties"]["device"]["enum"]
    offered = type(pages.computing).model_json_schema()["properties"]["device"]["enum"]
    assert offered == devices
    with pytest.raises(ValueError, match="memory_fraction"):
        pages.computing.memory_fraction = 1.5


def test_without_such_pages_the_defaults_are_taken(monkeypatch):
    def off(name):
        raise KeyError(name)

    monkeypatch.setattr(module.napari_settings, "get_plugin_settings", off)
    assert preferences().device == "auto"
