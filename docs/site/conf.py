"""Sphinx's settings for the site in both languages; build.py says which, and runs it."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from chinese import SearchBoth, SearchChinese  # noqa: E402

project = "ivl"
root_doc = "index"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]
# A block that shows part of a file or a reply need not be whole by its language's grammar.
suppress_warnings = ["misc.highlighting_failure"]
python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_title = "ivl"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_favicon = str(HERE / "static/ivl.svg")
templates_path = [str(HERE / "templates")]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
# A page opened as a file may not read other pages, which is what summaries of results need.
html_show_search_summary = False
html_theme_options = {"navigation_with_keys": True}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}


def setup(app):  # type: ignore[no-untyped-def]
    """Called by Sphinx: the search's words."""
    app.add_search_language(SearchBoth)
    app.add_search_language(SearchChinese)
