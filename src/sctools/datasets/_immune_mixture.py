"""A simulated mixture of blood cells with RNA and surface proteins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ._aging_cohort import _categorical
from ._immune_cells import CELL_TYPES, PROGRAMS, PROTEINS

# Fixed traits of the simulated cells, standard deviations in natural-log units.
_GENE_MEAN_SD = 2.0
_MARKER_MEAN = -0.7
_MARKER_MEAN_SD = 0.5
_MARKER_FOLD = 2.4
_PROGRAM_FRACTION = 0.03
_COMPOSITION_CONCENTRATION = 300.0
_SHARED_BATCH_VARIANCE = 0.75
_AMBIENT_RNA = 0.03
_AMBIENT_PROTEIN_SD = 0.5
_FOREGROUND_SD = 0.6
_PROTEIN_DISPERSION = 0.05
_BLOCK = 1000


def immune_mixture(
    n_obs: int = 2000,
    *,
    n_genes: int = 1000,
    n_batches: int = 2,
    proteins: bool = True,
    effect_size: float = 1.5,
    batch_effect: float = 0.25,
    protein_effect: float = 1.0,
    depth: float = 300.0,
    depth_sd: float = 0.4,
    dispersion: float = 0.3,
    rng: int | np.random.Generator | None = 0,
) -> AnnData:
    r"""Simulate RNA and protein counts of blood cells whose types and programs are known.

    A tree of ten cell types (naive and memory CD4 and CD8 T, NK, naive and memory B, CD14 and CD16
    monocyte, DC) is built from gene programs: some belong to a branch of the tree, some to a leaf,
    and some cut across it, as the cytotoxic one of NK and memory CD8 T cells, or a stress response
    that varies within all types alike. The profile of cell :math:`c` of type :math:`t` in batch
    :math:`b` is

    .. math::
        p_{cg} \propto \exp\Bigl(\beta_g + \sum_k w_{tk}\,a_{ck}\,\lambda_{kg}
        + s_{bg} + u_{btg}\Bigr)

    with a lognormal gene mean :math:`\beta`, the weight :math:`w` of program :math:`k` in the type,
    the activity :math:`a` of the program in the cell (gamma with mean 1), the log fold
    :math:`\lambda` of the gene, and batch effects :math:`s` (on all types) and :math:`u` (on one).
    To it 3 % of the mean profile of the batch is added as ambient RNA. A cell has a lognormal
    library size, larger in monocytes and DC, and negative-binomial counts.

    A protein is negative binomial around an ambient background, which is higher or lower for all
    proteins of a cell, plus the foreground of the types that carry it. CD4, CD8, CD45RA and CD45RO
    tell apart the T cells that the RNA tells apart poorly.

    Parameters
    ----------
    n_obs
        Number of cells, at least one per cell type and batch. The types are as unequal as in
        blood: from 20 % CD14 monocytes down to 1.5 % DC.
    n_genes
        Number of genes. The named markers always belong to them; a program has 3 % of the genes,
        and at least its markers.
    n_batches
        Number of batches, of equal size. Each has all types, in somewhat different proportions.
    proteins
        Whether to add protein counts. The RNA is the same with and without.
    effect_size
        Mean log fold of the unnamed genes of a program of strength 1, in natural-log units; a
        single gene has 0.5 to 1.5 times this, a named marker 2.4 times. Programs of large branches
        are stronger (up to 1.6), those that tell siblings apart weaker (down to 0.6). 0 makes all
        types alike in RNA.
    batch_effect
        Standard deviation of the batch effects on a gene, in natural-log units; a quarter of the
        variance is specific to a cell type. The library sizes and the staining of the proteins
        differ between batches as much.
    protein_effect
        Multiplies the foreground of the proteins; 0 leaves their background.
    depth
        Typical library size, in counts per cell over the simulated genes. Raise it with
        ``n_genes``: at 0.3 counts per gene about 87 % of the matrix are zeros.
    depth_sd
        Standard deviation of the log library size within a type and batch.
    dispersion
        Negative-binomial dispersion :math:`\alpha` of the RNA: the variance is
        :math:`\mu + \alpha\mu^2`. 0 gives Poisson counts.
    rng
        Seed or :class:`numpy.random.Generator`. The same seed gives the same cells; ``None``
        draws fresh ones. The global random state is not touched.

    Returns
    -------
    AnnData
        Cells in the order of batches, their types shuffled, with

        - ``X``: counts, CSR, float32 holding integers;
        - ``obs``: ``cell_type``, ``lineage`` (the branch of the tree: T, NK, B or myeloid cell) and
          ``batch`` (``"batch1"``, …), all categorical;
        - ``var["marker_of"]``: the program that raises the gene, categorical, missing for genes
          that do not differ between types. The named genes (``"CD3E"``, …) come first, then
          ``"gene_0001"``, …;
        - ``varm["program_loading"]``: genes × programs, natural-log folds :math:`\lambda`;
        - ``obsm["protein_expression"]``: data frame of 14 proteins, int32 counts, with a control
          (``"IgG1 control"``) that has background alone; only with ``proteins``;
        - ``uns["immune_mixture"]``: ``params`` (the arguments of this call without ``rng``);
          ``cell_types`` (one row per type: ``lineage``, planted ``proportion``, ``rna_content``);
          ``programs`` (types × programs, the weights :math:`w`; columns in the order of
          ``varm["program_loading"]``); with ``proteins``, ``protein_levels`` (one row per protein:
          mean counts of the ``background``, and of the foreground in every cell type).

    Raises
    ------
    TypeError
        If a count is not an integer, ``proteins`` not a bool, or another argument not a number.
    ValueError
        If an argument is out of its range, there are too few cells for all types in all batches,
        or too few genes for the named markers.

    Notes
    -----
    With the defaults, and without correction for the batch, k-means with 10 clusters on 30
    principal components of log-normalised RNA agrees with the types at an adjusted Rand index of
    0.55 on average, from 0.38 to 0.69 over 20 seeds; with ``batch_effect=0`` it is higher. Of the
    four T cell types, a linear classifier tells 84 % apart by these components (balanced accuracy),
    and 99 % with the proteins. Proportions, programs, markers and proteins are textbook knowledge
    in round numbers, fitted to no data set.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.immune_mixture(500, n_genes=200)
    >>> adata.shape
    (500, 200)
    >>> adata.obs["cell_type"].nunique()
    10
    >>> list(adata.var_names[adata.var["marker_of"] == "CD8 T"][:2])
    ['CD8A', 'CD8B']
    >>> adata.obsm["protein_expression"].shape
    (500, 14)
    """
    params = {name: value for name, value in locals().items() if name != "rng"}
    _check(params)
    rng = np.random.default_rng(rng)
    types, programs = list(CELL_TYPES), list(PROGRAMS)
    cell_types = pd.DataFrame(list(CELL_TYPES.values()), index=types)
    weights = np.array([[p.weights.get(name, 0.0) for p in PROGRAMS.values()] for name in types])

    genes, program_code, loading = _genes(n_genes, effect_size, rng)
    # Clipped, so that no gene takes most of the counts.
    baseline = _GENE_MEAN_SD * rng.standard_normal(n_genes).clip(-2.5, 2.5)
    named = ~genes.str.startswith("gene_")
    baseline[named] = rng.normal(_MARKER_MEAN, _MARKER_MEAN_SD, named.sum())
    n_cells = _composition(n_obs, n_batches, cell_types["proportion"].to_numpy(), rng)
    common = rng.normal(0, batch_effect * np.sqrt(_SHARED_BATCH_VARIANCE), (n_batches, n_genes))
    log_mean = baseline + np.repeat(common[:, None], len(types), axis=1)
    log_mean += rng.normal(0, batch_effect * np.sqrt(1 - _SHARED_BATCH_VARIANCE), log_mean.shape)
    batch_depth = rng.normal(0, batch_effect, n_batches)
    log_rna = np.log(cell_types["rna_content"].to_numpy())
    log_depth = np.log(depth) + np.add.outer(
        batch_depth - batch_depth.mean(), log_rna - np.average(log_rna, weights=n_cells.sum(axis=0))
    )

    blocks = []
    for b in range(n_batches):
        soup = np.average(_shares(log_mean[b] + weights @ loading), axis=0, weights=n_cells[b])
        for t in range(len(types)):
            # In blocks, so that the dense intermediate stays small.
            for start in range(0, n_cells[b, t], _BLOCK):
                n = min(_BLOCK, n_cells[b, t] - start)
                share = _shares(log_mean[b, t] + _activity(weights[t], n, rng) @ loading)
                share += _AMBIENT_RNA * (soup - share)
                library = rng.lognormal(log_depth[b, t], depth_sd, (n, 1))
                blocks.append(sparse.csr_matrix(_counts(library * share, dispersion, rng)))

    batch_code = np.repeat(np.arange(n_batches), n_cells.sum(axis=1))
    order = np.lexsort((rng.random(n_obs), batch_code))  # types shuffled within batches
    type_code = np.tile(np.arange(len(types)), n_batches).repeat(n_cells.ravel())[order]
    lineages = list(dict.fromkeys(cell_types["lineage"]))
    lineage_code = np.array([lineages.index(name) for name in cell_types["lineage"]])[type_code]
    width = max(4, len(str(n_obs)))
    # Stress raises its genes in all types alike: they mark none.
    marked = [name for name in programs if name != "Stress"]
    marker_code = np.where(program_code < len(marked), program_code, -1)
    truth = {
        "params": params,
        "cell_types": cell_types,
        "programs": pd.DataFrame(weights, index=types, columns=programs),
    }
    adata = AnnData(
        X=sparse.vstack(blocks, format="csr")[order],
        obs=pd.DataFrame(
            {
                "cell_type": _categorical(types, type_code),
                "lineage": _categorical(lineages, lineage_code),
                "batch": _categorical([f"batch{b + 1}" for b in range(n_batches)], batch_code),
            },
            index=[f"cell_{i + 1:0{width}d}" for i in range(n_obs)],
        ),
        var=pd.DataFrame(
            {"marker_of": pd.Categorical.from_codes(marker_code, marked)}, index=genes
        ),
        varm={"program_loading": loading.T.copy()},
    )
    # Drawn last, so that the RNA is the same with and without.
    if proteins:
        truth["protein_levels"] = levels = _protein_levels(types, protein_effect)
        adata.obsm["protein_expression"] = pd.DataFrame(
            _protein_counts(levels, type_code, batch_code, batch_effect, rng),
            index=adata.obs_names,
            columns=levels.index,
        )
    adata.uns["immune_mixture"] = truth
    return adata


def _check(params: Mapping[str, Any]) -> None:
    """Raise ``TypeError`` or ``ValueError`` on the first argument out of its range."""
    for name in ("n_obs", "n_genes", "n_batches"):
        value = params[name]
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"`{name}` must be an integer, found {value!r}.")
    if not isinstance(params["proteins"], (bool, np.bool_)):
        raise TypeError(f"`proteins` must be True or False, found {params['proteins']!r}.")
    for name in (
        "effect_size",
        "batch_effect",
        "protein_effect",
        "depth",
        "depth_sd",
        "dispersion",
    ):
        value = params[name]
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise TypeError(f"`{name}` must be a number, found {value!r}.")
        if not 0 <= value < np.inf:
            raise ValueError(f"`{name}` must be finite and not negative, found {value}.")
    if params["depth"] == 0:
        raise ValueError("`depth` must be finite and above 0, found 0.")

    n_batches = params["n_batches"]
    if n_batches < 1:
        raise ValueError(f"`n_batches` must be at least 1, found {n_batches}.")
    if params["n_obs"] < n_batches * len(CELL_TYPES):
        raise ValueError(
            f"`n_obs={params['n_obs']}` is too few for {len(CELL_TYPES)} cell types in "
            f"{n_batches} batches. Expected at least {n_batches * len(CELL_TYPES)}: raise `n_obs` "
            "or lower `n_batches`."
        )
    n_named = sum(len(program.markers) for program in PROGRAMS.values())
    if params["n_genes"] < n_named:
        raise ValueError(
            f"`n_genes={params['n_genes']}` is too few for the {n_named} named markers. "
            f"Expected at least {n_named}."
        )


def _genes(
    n_genes: int, effect_size: float, rng: np.random.Generator
) -> tuple[pd.Index, np.ndarray, np.ndarray]:
    """Give genes to programs: names, program of a gene (-1: none), loadings (programs × genes)."""
    markers = [name for program in PROGRAMS.values() for name in program.markers]
    n_markers = np.array([len(program.markers) for program in PROGRAMS.values()])
    n_own = np.maximum(n_markers, round(_PROGRAM_FRACTION * n_genes))
    width = max(4, len(str(n_genes)))
    unnamed = [f"gene_{i + 1:0{width}d}" for i in range(n_genes - len(markers))]
    code = np.full(n_genes, -1)
    code[: len(markers)] = np.repeat(np.arange(len(PROGRAMS)), n_markers)
    chosen = rng.permutation(np.arange(len(markers), n_genes))[: (n_own - n_markers).sum()]
    code[chosen] = np.repeat(np.arange(len(PROGRAMS)), n_own - n_markers)

    fold = rng.uniform(0.5, 1.5, n_genes)
    fold[: len(markers)] = _MARKER_FOLD
    loading = np.zeros((len(PROGRAMS), n_genes))
    for k, program in enumerate(PROGRAMS.values()):
        loading[k, code == k] = effect_size * program.strength * fold[code == k]
    return pd.Index([*markers, *unnamed]), code, loading


def _composition(
    n_obs: int, n_batches: int, proportion: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw numbers of cells (batches × types): batches of equal size, each type at least once."""
    out = np.ones((n_batches, proportion.size), dtype=int)
    for b in range(n_batches):
        size = n_obs // n_batches + (b < n_obs % n_batches)
        mixed = rng.dirichlet(_COMPOSITION_CONCENTRATION * proportion)
        out[b] += rng.multinomial(size - proportion.size, mixed)
    return out


def _activity(weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw how strongly cells of one type run each program (cells × programs)."""
    spread = np.array([program.spread for program in PROGRAMS.values()])
    return weights * rng.gamma(1 / spread**2, spread**2, (n, spread.size))


def _shares(log_mean: np.ndarray) -> np.ndarray:
    """Turn log means into shares of a cell's counts."""
    out = np.exp(log_mean - log_mean.max(axis=-1, keepdims=True))
    out /= out.sum(axis=-1, keepdims=True)
    return out


def _counts(mean: np.ndarray, dispersion: float, rng: np.random.Generator) -> np.ndarray:
    """Draw negative-binomial counts (a gamma-Poisson mixture)."""
    if dispersion > 0:
        mean = mean * rng.standard_gamma(1 / dispersion, mean.shape) * dispersion
    return rng.poisson(mean).astype(np.float32)


def _protein_levels(types: list[str], protein_effect: float) -> pd.DataFrame:
    """Tabulate mean counts per protein: the background, and the foreground in every cell type."""
    levels = pd.DataFrame({"background": [p.background for p in PROTEINS.values()]}, list(PROTEINS))
    for name in types:
        fold = np.array([float(p.foreground.get(name, 0)) for p in PROTEINS.values()])
        levels[name] = protein_effect * fold * levels["background"]
    return levels


def _protein_counts(
    levels: pd.DataFrame,
    type_code: np.ndarray,
    batch_code: np.ndarray,
    batch_effect: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw protein counts (cells × proteins) of background and foreground."""
    n_obs, n_proteins = type_code.size, len(levels)
    staining = _lognormal(batch_effect, (batch_code.max() + 1, n_proteins), rng)[batch_code]
    background = levels["background"].to_numpy() * _lognormal(_AMBIENT_PROTEIN_SD, (n_obs, 1), rng)
    foreground = levels.drop(columns="background").to_numpy().T[type_code]
    foreground = foreground * _lognormal(_FOREGROUND_SD, (n_obs, n_proteins), rng)
    mean = staining * (background + foreground)
    return _counts(mean, _PROTEIN_DISPERSION, rng).astype(np.int32)


def _lognormal(sd: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw lognormal factors with mean 1."""
    return rng.lognormal(-(sd**2) / 2, sd, shape)
