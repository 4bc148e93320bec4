"""Sphinx's settings for the site: stored outputs only, everything served from the site itself."""

import re
from pathlib import Path

import jupyter_server_mathjax
from pygments.lexers.special import TextLexer

HERE = Path(__file__).parent

project = "Transformers, Rebuilt"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["extra"]

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = project
html_static_path = [str(HERE / "static"), str(Path(jupyter_server_mathjax.__file__).parent / "static")]
html_favicon = str(HERE / "static" / "icon.svg")
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
mathjax_path = "MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"
mathjax2_config = {
    "tex2jax": {"processClass": "math", "ignoreClass": ".*"},
    "HTML-CSS": {
        "availableFonts": [],
        "webFont": "STIX-Web",  # the fonts that come with the package
        "imageFont": None,
        "styles": {
            "@font-face": {"font-family": "MathJax_Blank", "src": "local('none')"}
        },  # by default it asks the network for about:blank
    },
    "messageStyle": "none",
    "showMathMenu": False,
}


def _plain_docstring(app, what, name, obj, options, lines):
    """A module's docstring keeps its columns; elsewhere |x| and * are arithmetic, no markup."""
    if what == "module":
        lines[:] = ["::", "", *("   " + line.replace("``", "") for line in lines), ""]
    else:
        lines[:] = [
            "".join(part if part.startswith("``") else re.sub(r"([|*])", r"\\\1", part) for part in re.split(r"(``.+?``)", line))
            for line in lines
        ]


def _captions_have_a_level(app, pagename, templatename, context, doctree):
    """Sphinx marks the sidebar's captions as headings of no level, which a screen reader cannot place."""
    if "furo_navigation_tree" in context:
        context["furo_navigation_tree"] = context["furo_navigation_tree"].replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app):
    app.connect("html-page-context", _captions_have_a_level, priority=900)  # after the theme's own
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-process-docstring", _plain_docstring, priority=400)
