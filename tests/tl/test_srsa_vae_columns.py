"""Columns of any dtype as covariates of ``tl.srsa_vae``."""

from __future__ import annotations

import numpy as np
import pytest

from sctools.tl import srsa_vae

from .._compare import assert_unchanged, snapshot
from .._vaes import PROTEINS, QUICK, QUICK_PROTEIN, cells


def latents(dtype, proteins, **kwargs):
    adata = cells()
    adata.obs["batch"] = (np.arange(adata.n_obs) % 2 + 0.5).astype(dtype)
    before = snapshot(adata)
    settings = {**QUICK_PROTEIN, "protein_key": PROTEINS} if proteins else QUICK
    result = srsa_vae(adata, copy=True, **{**settings, **kwargs})
    assert_unchanged(adata, before)
    return result.obsm["X_srsa_vae"]


@pytest.mark.parametrize("proteins", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float64", str])
def test_dtype_of_batches_does_not_matter(dtype, proteins):
    """pandas has no categories of float16."""
    expected = latents("float32", proteins)
    np.testing.assert_array_equal(latents(dtype, proteins), expected)
    assert np.abs(latents(dtype, proteins, batch_key=None) - expected).max() > 1e-3
