"""Sphinx's configuration of the site. `tools/build_site.py` collects what it reads; `make site` runs that."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gnref
from gnref.teaching.palette import HUES, THEMES

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "gnref"
author = "The gnref authors"
project_copyright = "the gnref authors"
version = release = gnref.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "site_parts",
]
exclude_patterns = ["conf.py", "_ext", "_extra", "_generated"]
templates_path = ["_templates"]
default_role = "py:obj"  # `gnref.backward` in a docstring is a link
nitpicky = False

# Text. Tutorials are Python with comments, which jupytext reads.
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
# GNREF_DOCS_EXECUTE: 0 executes no tutorial, "cache" those that changed, "0[1-4]" those of such a name.
EXECUTE = os.environ.get("GNREF_DOCS_EXECUTE", "")
nb_execution_mode = {"0": "off", "cache": "cache"}.get(EXECUTE, "force")
nb_execution_cache_path = str(HERE.parents[1] / "executed")
nb_execution_excludepatterns = [
    f"tutorials/{path.name}"
    for path in (HERE / "tutorials").glob("[0-9]*.py")
    if EXECUTE not in ("", "0", "cache") and not path.match(f"{EXECUTE}*")
]
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 900  # seconds a cell; tutorial 6 trains for two minutes on two quiet cores
nb_execution_in_temp = True
nb_render_markdown_format = "myst"  # what cells show may have tables, which CommonMark does not
nb_merge_streams = True
# The explorer brings its own picture and is mounted by host.js: no widget manager, which a CDN would serve.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_mime_priority_overrides = [("*", "application/vnd.jupyter.widget-view+json", None)]

# Formulas, from the site itself.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {
    "options": {"enableMenu": False, "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"},
    "chtml": {"scale": 1.02, "matchFontHeight": False},
}
suppress_warnings = ["myst.mathjax"]  # it tells that it adds to the line above

# The reference.
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc says it in words
autodoc_preserve_defaults = True
# Large, and not needed to read a docstring.
autodoc_mock_imports = ["torch", "jax", "gnref.bridges.jax.primitives"]
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
python_maximum_signature_line_length = 84
toc_object_entries_show_parents = "hide"

# The look.
html_theme = "furo"
html_title = "gnref"
html_static_path = ["_static"]
html_extra_path = ["_extra"]
html_favicon = "_static/favicon.svg"
html_css_files = ["palette.css", "custom.css"]
html_js_files = [("host.js", {"type": "module"}), ("formulas.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
pygments_style = "a11y-light"
pygments_dark_style = "github-dark"


def colours(theme: str) -> dict[str, str]:
    """Furo's names for the colours of `gnref.teaching.palette`."""
    page, hues = THEMES[theme], HUES[theme]
    return {
        "color-background-primary": page.background,
        "color-foreground-primary": page.ink,
        "color-foreground-secondary": page.muted,
        "color-foreground-muted": page.muted,
        "color-brand-primary": hues["group"],
        "color-brand-content": hues["batch"],
        "color-brand-visited": hues["batch"],
    }


html_theme_options = {
    "light_css_variables": colours("light"),
    "dark_css_variables": colours("dark"),
    "light_logo": "logo.svg",
    "dark_logo": "logo.svg",
    "top_of_page_buttons": [],
}
