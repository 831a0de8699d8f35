"""Sphinx: how the pages of this folder become a site. ``tox -e docs`` builds it, and no warning passes."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "volumen"
author = "The volumen developers"
copyright = "The volumen developers"
version = release = version_of("volumen")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "volumen"
html_static_path = ["static"]
html_css_files = ["tables.css"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "dollarmath"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections say types where they help
default_role = "code"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
