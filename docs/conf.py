"""Sphinx's settings. Nothing here needs a network; warnings are errors in CI."""

from __future__ import annotations

import sys
from pathlib import Path

import seedance_async

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "seedance-async"
author = "the seedance-async authors"
copyright = "the seedance-async authors; MIT licence"
version = release = seedance_async.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_source"]
extensions += ["from_command_line"]
exclude_patterns = ["_build", "changes", "examples"]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
# Attributes as a list with the class: as entries of their own they would stand there twice.
napoleon_use_ivar = True
python_use_unqualified_type_names = True
add_module_names = False

nitpicky = True
# Names of other projects: looking them up (intersphinx) would need a network for each build.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(aiohttp|anyio|asyncio|attrs?|collections|contextlib|datetime|decimal|dt|enum|os|pathlib|typing)\..*",
    ),
    # A bug of the library if it is ever raised: not public.
    (r"py:exc", r"IllegalMove"),
]

man_pages = [("guide/cli-reference", "seedance", "make videos with Seedance 2.0", author, 1)]

html_theme = "furo"
html_title = "seedance-async"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
