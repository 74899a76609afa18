"""How Sphinx makes the site of these pages: `make docs`. The front page is the README."""

import re
from typing import Any

from sphinx.application import Sphinx

import brain_assets

project, release = "brain_assets", brain_assets.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {"show_prev_next": False, "navbar_center": [], "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {"**": ["globaltoc.html"]}
html_show_sourcelink = False
default_role = "code"
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_default_options = {"members": True, "member-order": "bysource", "exclude-members": "model_config"}
templates_path = ["_templates"]


def to_site(text: str) -> str:
    """Give a page with links into the site for what lies outside of this folder, and a picture for Mermaid's script."""
    text = re.sub(r"```mermaid.*?```", "![The assets in Dagster's UI](pictures/lineage.png)", text, flags=re.DOTALL)
    text = re.sub(r"\]\((?:\.\./)?(benchmarks|CONTRIBUTING|CHANGELOG)(?:/README)?\.md", _page, text)
    return re.sub(r"\]\((?=examples/|deploy/)", "](../", text)


def _page(link: re.Match[str]) -> str:
    return f"]({link[1].lower()}.md"


def is_config(documented: Any) -> bool:
    """Tell whether this is a configuration of models."""
    return isinstance(documented, type) and issubclass(documented, brain_assets.ModelConfig)


def document_fields(_app: Sphinx, _what: str, _name: str, documented: Any, _options: Any, lines: list[str]) -> None:
    """Add the fields of a configuration, which pydantic knows, to its docstring."""
    if not is_config(documented):
        return
    lines += ["Parameters", "----------"]
    for name, field in documented.model_json_schema()["properties"].items():
        kind = " or ".join(map(repr, field["enum"])) if "enum" in field else field.get("type", "")
        lines += [f"{name} : {kind}, default {field['default']!r}", f"    {field['description']}"]


def setup(app: Sphinx) -> None:
    """Take part in reading each page, each that one includes, and each docstring."""
    app.connect("source-read", lambda _app, _page, source: source.__setitem__(0, to_site(source[0])))
    app.connect("include-read", lambda _app, _path, _page, source: source.__setitem__(0, to_site(source[0])))
    app.connect("autodoc-process-docstring", document_fields, priority=400)  # before numpydoc reads it
    app.connect("autodoc-process-signature", lambda *call: ("(**options)", None) if is_config(call[3]) else None)
