"""Figures of SRSA-VAE; `make gallery` runs this and keeps the figure of each cell."""

# %% data
import sctools

adata = sctools.datasets.immune_mixture(1500, n_genes=600)
sctools.tl.srsa_vae(adata, batch_key="batch", labels_key="cell_type", max_epochs=100)

# %% srsa_vae
# How much more each type attends to a token than all cells do.
sctools.pl.srsa_vae(adata)

# %%
