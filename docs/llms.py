"""Write ``llms.txt``, an overview of sctools for language models, beside the pages of the site.

It lists every page and every public object with the first line of its docstring, so that it never
falls behind. ``conf.py`` connects :func:`write`; by hand, ``python docs/llms.py`` prints it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMESPACES = {
    "tl": "Tools: train or apply a model and write the results into the AnnData",
    "pl": "Plots of what the tools wrote",
    "get": "Results as data frames",
    "pp": "Input preparation",
    "model": "Models in the scvi-tools protocol",
    "datasets": "Simulated data with planted truth",
}
INTRODUCTION = """\
# sctools

> Deep models for scanpy workflows: an age clock, a self-attention VAE and a transformer that
> follows known gene regulation. Call one `tl` function on an AnnData, find the result in `obs`,
> `obsm` and `uns`, draw it with the `pl` function of the same name.

- Install from a checkout: `pip install -c constraints.txt -e .`; the distribution is `sctools-ml`,
  the import `sctools`. The distribution `sctools` on the Python package index is another project.
- `tl` functions take raw counts (`layer=` or `X`; `log_normalized=True` declares log1p of
  normalised values), work in place and return None; `copy=True` and `return_model=True` return
  something.
- Without `model=` a `tl` function trains; with it (a model or the directory of a saved one) it
  applies the model and writes the same keys.
- Ages are predicted by clocks that never saw the donor; the mean age stands beside every error.
  Attention is no evidence of gene regulation.
"""


def title(page: Path) -> str:
    """Return the first heading of a page or notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        text = "".join(json.loads(text)["cells"][0]["source"])
    (found,) = re.findall(r"\A# (.+)$", text, flags=re.MULTILINE) or [page.stem.capitalize()]
    return re.sub(r"[`*]", "", found)


def pages() -> list[Path]:
    """Return the pages of the site in the order of their paths, generated ones left out."""
    found = [*HERE.glob("*.md"), *HERE.glob("*/*.md"), *HERE.glob("*/*.ipynb")]
    left_out = {"_build", "_templates", "ecosystem", "generated"}
    return sorted(page for page in found if page.parent.name not in left_out)


def public_objects() -> dict[str, dict[str, str]]:
    """Return the summary of every public object, by namespace and name."""
    objects = {}
    for namespace in NAMESPACES:
        module = importlib.import_module(f"sctools.{namespace}")
        objects[namespace] = {
            name: str(inspect.getdoc(getattr(module, name))).splitlines()[0]
            for name in module.__all__
        }
    return objects


def text() -> str:
    """Return the whole overview; addresses are relative to the root of the site."""
    parts = [INTRODUCTION, "## Pages\n"]
    for page in pages():
        address = page.relative_to(HERE).with_suffix(".html").as_posix()
        parts.append(f"- [{title(page)}]({address})")
    for namespace, objects in public_objects().items():
        parts.append(f"\n## {NAMESPACES[namespace]}: `sctools.{namespace}`\n")
        for name, summary in objects.items():
            whole = f"sctools.{namespace}.{name}"
            parts.append(f"- [{whole}](generated/{whole}.html): {summary}")
    return "\n".join(parts) + "\n"


def write(app: Any, exception: Exception | None) -> None:
    """Write the overview to the root of the site once it is built."""
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / "llms.txt").write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    print(text(), end="")
