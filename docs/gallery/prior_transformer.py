"""Figures of the prior transformer; `make gallery` runs this and keeps the figure of each cell."""

# %% data
import sctools

cells = sctools.datasets.regulated_cells(1500, n_genes=300, effect_size=0.6, mrna_correlation=0.9)
first = (cells.obs["batch"] == "batch1").to_numpy()
known, adata = cells[first].copy(), cells[~first].copy()  # learn on one batch, answer for the other
network = cells.uns["prior"]
model = sctools.tl.prior_transformer(known, "cell_type", network, max_epochs=30, return_model=True)
sctools.tl.prior_transformer(adata, "cell_type", model=model)

# %% prior_coverage
# What a network covers of the genes of a model.
sctools.pp.prior_network(adata, network)
sctools.pl.prior_coverage(adata)

# %% prior_transformer
# Attention to each regulator, as a multiple of an even share.
sctools.pl.prior_transformer(adata)

# %% attention_network
# The edges of one type that get the most attention. Attention is not regulation.
sctools.pl.attention_network(adata, "type1")

# %% tf_dotplot
# Scores of the regulators: how far their targets are above the mean.
sctools.pl.tf_dotplot(adata)

# %% confusion
# The other batch: no cell of it was trained on.
sctools.pl.confusion(adata)

# %% calibration
# How often answers of a certain confidence are right.
sctools.pl.calibration(adata)

# %% compare_priors
# With the network, with a rewired one, and logistic regression, on the same splits.
modes = ["hard", "shuffled", "logistic regression"]
splits = {"n_splits": 2, "label_fractions": [0.1, 0.5], "model_kwargs": {"n_top_genes": 120}}
sctools.tl.compare_priors(known, "cell_type", network, modes=modes, **splits)
sctools.pl.compare_priors(known)

# %%
