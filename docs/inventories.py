"""Write intersphinx inventories of the names in ``inventories.toml``: a fall-back without network.

``conf.py`` calls :func:`write`; by hand, ``python docs/inventories.py`` does the same.
"""

from __future__ import annotations

import tomllib
import zlib
from pathlib import Path

HERE = Path(__file__).parent
ROLES = {
    "attributes": "attribute",
    "classes": "class",
    "data": "data",
    "exceptions": "exception",
    "functions": "function",
    "methods": "method",
    "modules": "module",
}


def write(folder: Path) -> dict[str, str]:
    """Write ``<project>.inv`` for each project into ``folder``; return the projects' addresses."""
    folder.mkdir(parents=True, exist_ok=True)
    projects = tomllib.loads((HERE / "inventories.toml").read_text(encoding="utf-8"))
    for project, table in projects.items():
        lines = [
            # name, domain:role, priority, page, displayed name ("-": the name itself)
            f"{name} py:{ROLES[kind]} 1 {page.replace('$', name)} -"
            for kind, pages in table.items()
            if kind != "url"
            for page, names in pages.items()
            for name in names
        ]
        head = (
            "# Sphinx inventory version 2\n"
            f"# Project: {project}\n"
            "# Version: \n"
            "# The remainder of this file is compressed using zlib.\n"
        )
        body = zlib.compress("".join(f"{line}\n" for line in sorted(lines)).encode(), 9)
        (folder / f"{project}.inv").write_bytes(head.encode() + body)
    return {project: table["url"] for project, table in projects.items()}


if __name__ == "__main__":
    print("\n".join(write(HERE / "inv")))
