"""Figures of the age clock; `make gallery` runs this and keeps the figure of each cell."""

# %% data
import sctools

adata = sctools.datasets.aging_cohort(group_acceleration=8, accelerated_cell_types=["T cell"])
sctools.tl.age_clock(adata)

# %% age_clock
# Every donor is predicted by a clock that saw none of its cells.
sctools.pl.age_clock(adata)

# %% age_by_celltype
# A point is the mean over the cells of one donor in one type.
sctools.pl.age_by_celltype(adata, value="acceleration")

# %% age_genes
# Years per standard deviation of a gene; open where the fold clocks disagree in the sign.
sctools.pl.age_genes(adata)

# %% age_acceleration
# Half of the donors are cases, whose T cells are simulated eight years ahead.
sctools.tl.age_acceleration(adata, "group", reference="control")
sctools.pl.age_acceleration(adata)

# %% compare_clocks
# The clock and simple models on the same folds of donors.
sctools.tl.compare_clocks(adata, ["gma", "elastic_net", "ridge", "pls"])
sctools.pl.compare_clocks(adata)

# %% training_history
# A thin line for each fold, a thick one for their mean.
sctools.pl.training_history(adata)

# %%
