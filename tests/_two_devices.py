"""A training on two processes: ``python -m tests._two_devices TOOL STRATEGY FOLDER [KEPT]``.

Lightning runs the same command again for the second one; each writes what it has got to a file.
Checkpoints go to KEPT; a file there appears by a rename, by which each process tells what it wrote.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from anndata import AnnData

from sctools.model._fingerprint import digest

from . import _clocks, _priors, _tools, _vaes

TRAINING = {
    "age_clock": _clocks.QUICK["train_kwargs"],
    "srsa_vae": _vaes.QUICK["train_kwargs"],
    "multimodal_srsa_vae": _vaes.QUICK["train_kwargs"],
    "prior_transformer": _priors.FAST,
}


DEVICES = {"devices": 2, "accelerator": "cpu"}


def train(name: str, strategy: str, adata: AnnData, kept: Path | None = None) -> Any:
    """Train on the cells and write the result to them; return the model."""
    options = {} if kept is None else {"checkpoint_dir": kept}
    train_kwargs = {**TRAINING[name], **DEVICES, "strategy": strategy}
    return _tools.run(name, adata, train_kwargs=train_kwargs, return_model=True, **options)


def digests(name: str, adata: AnnData, model: Any) -> Mapping[str, str]:
    """What came of it, in few letters."""
    return {
        "weights": digest(model.module.state_dict()),
        "history": digest(adata.uns[name.removeprefix("multimodal_")]["history"]),
        "obs": digest(adata.obs),
        "obsm": digest(dict(adata.obsm)),
    }


def main(name: str, strategy: str, folder: str, kept: str | None = None) -> None:
    """Train, save the model, and tell what came of it."""
    renamed: list[str] = []
    sys.addaudithook(
        lambda event, args: renamed.append(str(args[1])) if event == "os.rename" else None
    )
    adata = _tools.data(name)
    model = train(name, strategy, adata, None if kept is None else Path(kept))
    model.save(Path(folder) / "model")
    rank = torch.distributed.get_rank()
    found = {
        **digests(name, adata, model),
        "n_ranks": torch.distributed.get_world_size(),
    }
    Path(folder, f"rank_{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    if kept is not None:
        written = sorted(Path(path).name for path in renamed if Path(path).parent == Path(kept))
        Path(folder, f"written_{rank}.json").write_text(json.dumps(written), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
