"""Configuration of the documentation; `make docs` builds it."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from importlib import import_module
from importlib.metadata import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import gallery_images  # noqa: E402
import inventories  # noqa: E402
import llms  # noqa: E402

# -- Project ---------------------------------------------------------------------------------

info = metadata("sctools-ml")
project = "sctools"
author = "sctools developers"
version = release = info["Version"]
project_copyright = f"2026, {author}"

# -- Extensions ------------------------------------------------------------------------------

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "docstring_lines",  # between these two
    "sphinx_autodoc_typehints",
    "scanpydoc.elegant_typehints",
    "scanpydoc.definition_list_typed_field",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]

nitpicky = True
# Autosummary writes its pages with the first of these suffixes, in reStructuredText.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "**.ipynb_checkpoints", "inv", "ecosystem"]
templates_path = ["_templates"]

# Notebooks are committed with their outputs; the tests execute them.
nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # left to sphinx-autodoc-typehints
typehints_defaults = "braces"
always_use_bars_union = True
napoleon_google_docstring = False
napoleon_use_rtype = True
napoleon_use_param = True
napoleon_use_ivar = True  # the fields of a named tuple are listed in its docstring

# Annotations name the private module where an object was defined; readers know the public one.
qualname_overrides = {
    "lightning.pytorch.core.datamodule.LightningDataModule": (
        "lightning.pytorch.core.LightningDataModule"
    ),
    "pandas.core.series.Series": "pandas.Series",
    "matplotlib.axes._axes.Axes": "matplotlib.axes.Axes",
    "mudata._core.mudata.MuData": "mudata.MuData",
    "numpy.random._generator.Generator": "numpy.random.Generator",
}
for namespace in ("datasets", "get", "model", "pl", "pp", "tl"):
    public = import_module(f"sctools.{namespace}")
    for name in public.__all__:
        if inspect.isclass(value := getattr(public, name)):
            qualname_overrides[f"{value.__module__}.{name}"] = f"{public.__name__}.{name}"

# It calls what Sphinx 10 will drop; our constraints keep Sphinx at 9.
warnings.filterwarnings("ignore", module="sphinx_autodoc_typehints")

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# -- Links into other projects ---------------------------------------------------------------

# A build must come out the same with and without a network, and must not wait for one: only the
# hosted documentation asks the other projects for their inventories, and it too falls back on ours.
online = os.environ.get("READTHEDOCS") == "True"
intersphinx_timeout = 5
intersphinx_mapping = {
    name: (url, (None, f"inv/{name}.inv") if online else f"inv/{name}.inv")
    for name, url in inventories.write(HERE / "inv").items()
}

# -- Appearance ------------------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_title = "sctools"
html_theme_options = {
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
}


def skip_members(app, what, name, obj, skip, options):
    """Leave out fields of named tuples, called aliases of numbers, and methods of others."""
    if type(obj).__name__ == "_tuplegetter":
        return True
    # Methods of our own bases are ours; what scvi-tools and others bring is in their pages.
    home = getattr(getattr(obj, "fget", obj), "__module__", None)
    return True if what == "class" and home and not home.startswith("sctools.") else None


def setup(app):
    """Connect the handlers."""
    app.connect("autodoc-skip-member", skip_members)
    app.connect("autodoc-process-docstring", gallery_images.add_image, priority=400)
    app.connect("build-finished", llms.write)
