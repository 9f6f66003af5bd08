from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from natsort import natsorted
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score

from sctools.datasets import immune_mixture
from sctools.datasets._immune_cells import CELL_TYPES, PROGRAMS, PROTEINS

SMALL = {"n_obs": 300, "n_genes": 150}
T_CELLS = ["CD4 T naive", "CD4 T memory", "CD8 T naive", "CD8 T memory"]


@pytest.fixture(scope="module")
def mixture() -> ad.AnnData:
    return immune_mixture()


def components(adata: ad.AnnData) -> np.ndarray:
    """Principal components of log-normalised RNA."""
    adata = adata.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return sc.pp.pca(adata.X, n_comps=30, random_state=0)


def agreement(Z: np.ndarray, labels: pd.Series) -> float:
    found = KMeans(labels.nunique(), n_init=10, random_state=0).fit_predict(Z)
    return adjusted_rand_score(labels, found)


def accuracy(Z: np.ndarray, labels: np.ndarray) -> float:
    model = LogisticRegression(max_iter=1000)
    return cross_val_score(model, Z, labels, cv=4, scoring="balanced_accuracy").mean()


def centres(Z: np.ndarray, labels: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(Z).groupby(labels.to_numpy(), observed=True).mean()


def log_proteins(adata: ad.AnnData) -> np.ndarray:
    return np.log1p(adata.obsm["protein_expression"].to_numpy().astype(float))


def test_tables_are_consistent():
    assert sum(kind.proportion for kind in CELL_TYPES.values()) == pytest.approx(1)
    markers = [name for program in PROGRAMS.values() for name in program.markers]
    assert len(set(markers)) == len(markers)
    for program in PROGRAMS.values():
        assert set(program.weights) <= set(CELL_TYPES)
    for protein in PROTEINS.values():
        assert set(protein.foreground) <= set(CELL_TYPES)


def test_same_seed_same_cells():
    a, b, c = (immune_mixture(rng=seed, **SMALL) for seed in (1, 1, 2))
    assert (a.X != b.X).nnz == 0
    pd.testing.assert_frame_equal(a.obs, b.obs)
    pd.testing.assert_frame_equal(a.obsm["protein_expression"], b.obsm["protein_expression"])
    np.testing.assert_array_equal(a.varm["program_loading"], b.varm["program_loading"])
    assert (a.X != c.X).nnz > 0
    d = immune_mixture(rng=np.random.default_rng(1), **SMALL)
    assert (a.X != d.X).nnz == 0


def test_global_random_state_is_untouched():
    before = np.random.get_state()  # noqa: NPY002
    immune_mixture(**SMALL)
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_layout(mixture):
    types = list(CELL_TYPES)
    assert mixture.shape == (2000, 1000)
    assert mixture.obs_names.is_unique
    assert mixture.var_names.is_unique
    assert list(mixture.obs["cell_type"].cat.categories) == natsorted(types)
    assert mixture.obs["lineage"].nunique() == 4
    assert (mixture.obs.groupby("cell_type", observed=True)["lineage"].nunique() == 1).all()
    assert list(mixture.obs["batch"].cat.categories) == ["batch1", "batch2"]
    assert {"CD3E", "CD4", "CD8A", "MS4A1", "CD14", "LYZ", "FCGR3A", "NKG7"} < set(
        mixture.var_names
    )
    assert mixture.var.loc["MS4A1", "marker_of"] == "B cell"
    assert mixture.var_names[-1].startswith("gene_")

    proteins = mixture.obsm["protein_expression"]
    assert list(proteins.columns) == list(PROTEINS)
    assert list(proteins.index) == list(mixture.obs_names)
    assert (proteins.dtypes == np.int32).all()
    assert proteins.to_numpy().min() >= 0

    truth = mixture.uns["immune_mixture"]
    assert truth["params"]["n_obs"] == 2000
    assert "rng" not in truth["params"]
    assert list(truth["cell_types"].index) == types
    assert truth["programs"].shape == (len(types), len(PROGRAMS))
    assert mixture.varm["program_loading"].shape == (1000, len(PROGRAMS))
    assert list(truth["protein_levels"].columns) == ["background", *types]


def test_programs_and_markers_agree(mixture):
    loading = mixture.varm["program_loading"]
    assert ((loading > 0).sum(axis=1) <= 1).all()
    np.testing.assert_array_equal((loading > 0).sum(axis=0), 30)
    program = np.array([*PROGRAMS, None], dtype=object)[
        np.where(loading.any(axis=1), loading.argmax(axis=1), len(PROGRAMS))
    ]
    marked = mixture.var["marker_of"].notna().to_numpy()
    np.testing.assert_array_equal(marked, ~np.isin(program, [None, "Stress"]))
    np.testing.assert_array_equal(mixture.var["marker_of"].to_numpy()[marked], program[marked])


def test_proportions():
    adata = immune_mixture(6001, n_genes=100, n_batches=3, rng=3)
    assert list(adata.obs["batch"].value_counts(sort=False)) == [2001, 2000, 2000]
    counts = adata.obs.groupby(["batch", "cell_type"], observed=False).size()
    assert counts.min() >= 1
    planted = adata.uns["immune_mixture"]["cell_types"]["proportion"]
    found = adata.obs["cell_type"].value_counts(normalize=True)[planted.index]
    assert (found - planted).abs().max() < 0.06
    assert found["DC"] < 0.04
    # Types do not come in blocks.
    same = adata.obs["cell_type"].to_numpy()[1:] == adata.obs["cell_type"].to_numpy()[:-1]
    assert same.mean() < 0.25


def test_each_batch_has_all_types_even_if_just_so():
    adata = immune_mixture(20, n_genes=100)
    assert (adata.obs.groupby(["batch", "cell_type"], observed=False).size() == 1).all()


def test_many_cells_of_one_type_are_drawn_in_blocks():
    adata = immune_mixture(12000, n_genes=80, n_batches=1, proteins=False)
    assert (adata.obs["cell_type"] == "CD14 monocyte").sum() > 2000
    assert adata.X.shape == (12000, 80)
    assert np.asarray(adata.X.sum(axis=1)).min() > 0


def test_counts_look_like_counts(mixture):
    X = mixture.X
    assert sparse.issparse(X)
    assert X.format == "csr"
    assert X.dtype == np.float32
    assert X.data.min() >= 1
    np.testing.assert_array_equal(X.data, np.round(X.data))
    assert 0.85 < 1 - X.nnz / np.prod(X.shape) < 0.95
    totals = np.asarray(X.sum(axis=1)).ravel()
    assert 270 < np.median(totals) < 330
    assert 0.4 < np.log(totals).std() < 0.8
    monocyte = (mixture.obs["cell_type"] == "CD14 monocyte").to_numpy()
    t_cell = (mixture.obs["cell_type"] == "CD4 T naive").to_numpy()
    assert 1.3 < np.median(totals[monocyte]) / np.median(totals[t_cell]) < 2.2


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_dispersion(dispersion):
    adata = immune_mixture(
        4000, n_genes=100, n_batches=1, effect_size=0, depth_sd=0, dispersion=dispersion,
        depth=1000, proteins=False,
    )  # fmt: skip
    X = adata.X[(adata.obs["cell_type"] == "CD14 monocyte").to_numpy()].toarray()
    mean, variance = X.mean(axis=0), X.var(axis=0)
    high = mean > 3
    assert high.sum() > 10
    estimate = np.median((variance[high] - mean[high]) / mean[high] ** 2)
    assert estimate == pytest.approx(dispersion, abs=0.06)


def test_planted_log_folds_are_found():
    """Differences between two types, averaged over their cells, are those of their programs."""
    adata = immune_mixture(8000, n_genes=400, n_batches=1, depth=2000, proteins=False, rng=5)
    truth = adata.uns["immune_mixture"]
    types = adata.obs["cell_type"].to_numpy()
    mean = {
        name: np.asarray(adata.X[types == name].sum(axis=0)).ravel() for name in ("NK", "B naive")
    }
    seen = (mean["NK"] > 30) & (mean["B naive"] > 30)
    observed = np.log(mean["NK"][seen] / mean["B naive"][seen])
    weights = truth["programs"].loc["NK"] - truth["programs"].loc["B naive"]
    planted = (adata.varm["program_loading"] @ weights.to_numpy())[seen]
    assert seen.sum() > 150
    assert np.corrcoef(observed, planted)[0, 1] > 0.95
    assert np.polyfit(planted, observed, 1)[0] == pytest.approx(1, abs=0.15)


def test_markers_show_in_their_types(mixture):
    def detected(gene: str) -> pd.Series:
        positive = np.asarray((mixture[:, gene].X > 0).todense()).ravel()
        return (
            pd.Series(positive).groupby(mixture.obs["cell_type"].to_numpy(), observed=True).mean()
        )

    for gene, carriers in {
        "CD3E": T_CELLS,
        "MS4A1": ["B naive", "B memory"],
        "LYZ": ["CD14 monocyte", "CD16 monocyte", "DC"],
        "NKG7": ["NK", "CD8 T memory"],
        "FCGR3A": ["CD16 monocyte", "NK"],
    }.items():
        share = detected(gene)
        assert share[carriers].min() > 2 * share.drop(carriers).max(), gene
    # The RNA of CD4 is weak, as in real data.
    assert detected("CD4").max() < 0.3


def test_difficulty_is_in_range(mixture):
    """Types show, but RNA alone does not give them away; proteins help."""
    types = mixture.obs["cell_type"]
    Z = components(mixture)
    assert 0.4 < agreement(Z, types) < 0.9
    t_cell = types.isin(T_CELLS).to_numpy()
    labels = types.to_numpy()[t_cell].astype(str)
    rna = accuracy(Z[t_cell], labels)
    both = accuracy(np.hstack([Z, log_proteins(mixture)])[t_cell], labels)
    assert 0.6 < rna < 0.95
    assert both > rna + 0.03


def test_a_few_markers_are_not_enough(mixture):
    """The named markers tell siblings apart less well than the whole transcriptome."""
    types = mixture.obs["cell_type"]
    t_cell = types.isin(T_CELLS).to_numpy()
    labels = types.to_numpy()[t_cell].astype(str)
    X = mixture.X[t_cell].toarray()
    X = np.log1p(1e3 * X / X.sum(axis=1, keepdims=True))
    few = mixture.var_names.isin(["CD4", "CD8A", "CD8B", "CCR7", "S100A4"])
    assert accuracy(X[:, few], labels) < accuracy(components(mixture)[t_cell], labels) - 0.1


def test_siblings_are_close(mixture):
    centre = centres(components(mixture), mixture.obs["cell_type"])

    def distance(a: str, b: str) -> float:
        return float(np.linalg.norm(centre.loc[a] - centre.loc[b]))

    assert distance("CD4 T naive", "CD8 T naive") < distance("CD4 T naive", "NK")
    assert distance("CD8 T memory", "NK") < distance("CD4 T naive", "NK")
    assert distance("B naive", "B memory") < distance("B naive", "CD4 T naive") / 2
    assert distance("CD14 monocyte", "CD16 monocyte") < distance("CD14 monocyte", "NK") / 2
    assert distance("CD4 T naive", "NK") < distance("CD4 T naive", "CD14 monocyte")


def test_proteins_mark_their_types(mixture):
    medians = (
        mixture.obsm["protein_expression"]
        .groupby(mixture.obs["cell_type"].to_numpy(), observed=True)
        .median()
    )
    for protein, carriers in {
        "CD3": T_CELLS,
        "CD8": ["CD8 T naive", "CD8 T memory"],
        "CD14": ["CD14 monocyte"],
        "CD19": ["B naive", "B memory"],
        "CD56": ["NK"],
    }.items():
        others = medians[protein].drop(carriers)
        assert medians.loc[carriers, protein].min() > 2 * others.max(), protein
    assert medians.loc["CD4 T naive", "CD45RA"] > 2 * medians.loc["CD4 T memory", "CD45RA"]
    assert medians.loc["CD4 T memory", "CD45RO"] > 2 * medians.loc["CD4 T naive", "CD45RO"]
    control = medians["IgG1 control"]
    assert control.max() <= 2 * control.min()


def test_protein_levels_are_the_means():
    adata = immune_mixture(10000, n_genes=80, n_batches=1, batch_effect=0, rng=2)
    levels = adata.uns["immune_mixture"]["protein_levels"]
    found = (
        adata.obsm["protein_expression"]
        .groupby(adata.obs["cell_type"].to_numpy(), observed=True)
        .mean()
    )
    for name in ("CD4 T memory", "CD14 monocyte"):
        expected = levels["background"] + levels[name]
        np.testing.assert_allclose(found.loc[name, expected.index], expected, rtol=0.1)


def test_batch_effect():
    def neighbours(effect: float) -> float:
        """Share of a cell's nearest neighbours of its type that come from its batch."""
        adata = immune_mixture(1000, batch_effect=effect, proteins=False, rng=4)
        adata = adata[(adata.obs["cell_type"] == "CD14 monocyte").to_numpy()]
        Z = components(adata)
        near = np.argsort(((Z[:, None] - Z[None]) ** 2).sum(axis=2), axis=1)[:, 1:6]
        batch = adata.obs["batch"].cat.codes.to_numpy()
        return float((batch[near] == batch[:, None]).mean())

    assert neighbours(0) < 0.62
    assert neighbours(0.5) > 0.75


def test_without_batch_effect_depth_is_equal():
    adata = immune_mixture(4000, n_genes=80, batch_effect=0, proteins=False, rng=1)
    cells = (adata.obs["cell_type"] == "CD4 T naive").to_numpy()
    totals = pd.Series(np.asarray(adata.X[cells].sum(axis=1)).ravel())
    median = totals.groupby(adata.obs["batch"].to_numpy()[cells], observed=True).median()
    assert median.max() / median.min() < 1.1


def test_effect_sizes_of_zero_hide_the_types():
    adata = immune_mixture(effect_size=0, batch_effect=0, protein_effect=0)
    types = adata.obs["cell_type"]
    # Library size is left: monocytes have more RNA.
    assert agreement(components(adata), types) < 0.1
    assert agreement(log_proteins(adata), types) < 0.05


def test_proteins_leave_the_rna_alone():
    a, b = immune_mixture(**SMALL), immune_mixture(proteins=False, **SMALL)
    assert (a.X != b.X).nnz == 0
    pd.testing.assert_frame_equal(a.obs, b.obs)
    assert "protein_expression" not in b.obsm
    assert "protein_levels" not in b.uns["immune_mixture"]


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_round_trip(tmp_path, suffix):
    adata = immune_mixture(**SMALL)
    path = tmp_path / f"mixture.{suffix}"
    getattr(adata, f"write_{suffix}")(path)
    back = (ad.read_h5ad if suffix == "h5ad" else ad.read_zarr)(path)
    assert (back.X != adata.X).nnz == 0
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    pd.testing.assert_frame_equal(back.var, adata.var)
    pd.testing.assert_frame_equal(back.obsm["protein_expression"], adata.obsm["protein_expression"])
    truth = back.uns["immune_mixture"]
    for name in ("cell_types", "programs", "protein_levels"):
        pd.testing.assert_frame_equal(truth[name], adata.uns["immune_mixture"][name])
    assert truth["params"] == adata.uns["immune_mixture"]["params"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_obs": 300.0}, TypeError, "`n_obs` must be an integer, found 300.0"),
        ({"n_batches": True}, TypeError, "`n_batches` must be an integer, found True"),
        ({"n_batches": 0}, ValueError, "`n_batches` must be at least 1, found 0"),
        ({"n_obs": 19}, ValueError, "10 cell types in 2 batches. Expected at least 20"),
        ({"n_genes": 10}, ValueError, "`n_genes=10` is too few for the 6[0-9] named markers"),
        ({"proteins": "CD3"}, TypeError, "`proteins` must be True or False, found 'CD3'"),
        ({"effect_size": -1}, ValueError, "`effect_size` must be finite and not negative"),
        ({"batch_effect": np.nan}, ValueError, "`batch_effect` must be finite"),
        ({"protein_effect": np.inf}, ValueError, "`protein_effect` must be finite"),
        ({"dispersion": -0.1}, ValueError, "`dispersion` must be finite and not negative"),
        ({"depth_sd": -0.1}, ValueError, "`depth_sd` must be finite and not negative"),
        ({"depth": 0}, ValueError, "`depth` must be finite and above 0, found 0"),
        ({"depth": "high"}, TypeError, "`depth` must be a number, found 'high'"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        immune_mixture(**arguments)
