"""Draw every figure of the gallery into ``docs/_static/gallery`` (`make gallery`, minutes).

The scripts in ``docs/gallery`` are cut into cells by lines such as ``# %% age_clock``. A cell that
is named after a function of :mod:`sctools.pl` ends with a figure, which is saved; the page of the
gallery shows the same lines.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = HERE / "gallery"
FIGURES = HERE / "_static" / "gallery"

STYLE = {"font.size": 8, "figure.figsize": (3.5, 3.0), "savefig.dpi": 130}
"""A column of a journal, in the print that journals ask for."""


def cells(script: Path) -> dict[str, str]:
    """Return the code of each cell of a script, by its name."""
    parts = re.split(r"^# %% ?(\w*)\n", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: code for name, code in zip(parts[1::2], parts[2::2], strict=True) if name}


def draw(script: Path) -> None:
    """Run a script, and save the figure of each cell that draws one."""
    from matplotlib import pyplot as plt

    variables: dict[str, Any] = {}
    for name, code in cells(script).items():
        print(f"{script.stem}: {name}", flush=True)
        exec(compile(code, f"{script.name}, {name}", "exec"), variables)
        if name != "data":
            save(plt.gcf(), FIGURES / f"{name}.png")
            plt.close("all")


def save(figure: Any, path: Path) -> None:
    """Save a figure in 256 colours, which takes less than half of the space."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer)
    Image.open(buffer).convert("RGB").quantize(256).save(path, optimize=True)


def main(names: list[str]) -> None:
    """Draw the figures of all scripts, or of those that are named."""
    import matplotlib as mpl
    import scanpy as sc

    import sctools

    mpl.use("Agg")
    mpl.rcParams.update(STYLE)
    sc.settings.autoshow = False
    sctools.settings.progress_bar = False
    FIGURES.mkdir(parents=True, exist_ok=True)
    for script in sorted(SCRIPTS.glob("*.py")):
        if not names or script.stem in names:
            draw(script)


if __name__ == "__main__":
    main(sys.argv[1:])
