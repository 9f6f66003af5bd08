"""A training on two processes: ``python -m tests._two_devices TOOL STRATEGY FOLDER``.

Lightning runs the same command again for the second one; each writes what it has got to a file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from sctools.model._fingerprint import digest

from . import _clocks, _priors, _tools, _vaes

TRAINING = {
    "age_clock": _clocks.QUICK["train_kwargs"],
    "srsa_vae": _vaes.QUICK["train_kwargs"],
    "multimodal_srsa_vae": _vaes.QUICK["train_kwargs"],
    "prior_transformer": _priors.FAST,
}


def main(name: str, strategy: str, folder: str) -> None:
    """Train, save the model, and tell what came of it."""
    adata = _tools.data(name)
    devices = {"strategy": strategy, "devices": 2, "accelerator": "cpu"}
    train_kwargs = {**TRAINING[name], **devices}
    model = _tools.run(name, adata, train_kwargs=train_kwargs, return_model=True)
    model.save(Path(folder) / "model")
    rank = torch.distributed.get_rank()
    key = name.removeprefix("multimodal_")
    found = {
        "weights": digest(model.module.state_dict()),
        "history": digest(adata.uns[key]["history"]),
        "obs": digest(adata.obs),
        "obsm": digest(dict(adata.obsm)),
        "n_ranks": torch.distributed.get_world_size(),
    }
    Path(folder, f"rank_{rank}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
