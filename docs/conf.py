"""Settings of the documentation site. `nox -s docs` builds it, strictly and without a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import xpnet

project = "xpnet"
copyright = "the xpnet developers"  # noqa: A001  (Sphinx's own name)
version = release = xpnet.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "directives"]
exclude_patterns = ["_build", "_ext", "**/.ipynb_checkpoints"]
nitpicky = True  # a reference without a target is a warning, and -W makes a warning an error

# Every notebook runs from its start, in a folder of its own, and an error in a cell ends the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True  # printed lines stay together

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
smartquotes = False  # -- stays what it is in the name of an option
default_role = "code"  # in docstrings, text between backticks is code, as in Markdown

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Types in signatures: many are of other libraries, or aliases, and have no page here.
nitpick_ignore_regex = [("py:class", ".*")]

html_theme = "furo"
html_title = f"xpnet {version}"
html_static_path: list[str] = []
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

man_pages = [("reference/commands", "xpnet", "train image classifiers, and classify images", "", 1)]
