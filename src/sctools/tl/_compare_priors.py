"""What the network is worth: the same transformer with, without and with a shuffled one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._arguments import (
    as_generator,
    check_flags,
    check_names,
    check_options,
    check_whole,
    named_options,
)
from .._docs import docs
from .._keys import PRIOR_COMPARISON
from .._settings import settings
from .._validate import check_adata, check_key_added, check_obs_key, check_writable, listing
from ..pp._expression import get_expression
from ..pp._labels import read_labels
from ._params import recorded_params
from ._prior_splits import LabelSplit, label_splits

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("sctools")

LOGISTIC = "logistic regression"
MODES = ("hard", "soft", "none", "shuffled", LOGISTIC)


@docs.dedent
def compare_priors(
    adata: AnnData,
    labels_key: str,
    net: pd.DataFrame | str | os.PathLike[str],
    *,
    modes: Sequence[str] = MODES,
    label_fractions: Sequence[float] = (0.05, 0.25, 1.0),
    n_splits: int = 5,
    test_key: str | None = None,
    test_size: float = 0.3,
    unlabeled_category: str | None = None,
    layer: str | None = None,
    log_normalized: bool = False,
    model_kwargs: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
    key_added: str = PRIOR_COMPARISON,
    rng: int | np.random.Generator | None = 0,
    progress_bar: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Compare kinds of prior, and logistic regression, on the same cells and genes.

    For every split some cells are held out, a share of the others is learned from, and each mode
    answers for the held-out ones. Genes are chosen, and everything is fitted, without them.

    Parameters
    ----------
    adata
        Annotated data, cells × genes.
    labels_key
        Column of ``obs`` with the classes.
    net
        Network of gene regulation; see :func:`sctools.tl.prior_transformer`.
    modes
        What to compare: ``"hard"``, ``"soft"``, ``"none"`` and ``"shuffled"`` as in
        :class:`~sctools.model.PriorTransformer`, and ``"logistic regression"`` (scikit-learn's,
        with its default penalty) on the log-normalised values of the same genes. The time of
        ``"soft"`` and ``"none"`` grows with the square of the genes: with 800 of them
        (``model_kwargs={"n_top_genes": …}``) they are within reach.
    label_fractions
        Shares of the cells that are not held out to learn from, of each class at least two cells.
    n_splits
        Number of random splits.
    test_key
        Boolean column of ``obs`` that is true for the cells to test on, such as those of another
        donor; the splits then differ in the labels that are given. ``None`` holds out
        ``test_size`` of each class at random.
    test_size
        See ``test_key``.
    unlabeled_category
        Label of cells whose class is not known; they are left out.
    layer, log_normalized
        Where the values are, and what they are; see :func:`sctools.tl.prior_transformer`.
    model_kwargs, train_kwargs
        Further arguments for all the transformers and for their ``train``.
    key_added
        Name of the result.
    %(rng)s
    progress_bar
        Show a progress bar over the runs. ``None`` follows ``sctools.settings.progress_bar``.
    copy
        Work on a copy and return it.

    Returns
    -------
    ``None``, or the copy with ``copy=True``. Written to ``adata``: ``uns[key_added]`` with
    ``params`` and ``results``, a DataFrame with one row per run: ``mode``, ``label_fraction``,
    ``n_labels``, ``seed`` (number of the split), ``accuracy``, ``macro_f1`` (over the classes of
    the test cells), ``ece`` (expected calibration error) and ``n_test``.

    Raises
    ------
    KeyError
        A column, a layer or the network's key is missing.
    RuntimeError
        A training diverged.
    TypeError
        ``net`` is no network, or another argument is of a wrong type.
    ValueError
        A mode is unknown, an argument is out of range, ``test_key`` leaves no cells to test on or
        lacks a class to learn, or labels, network or values cannot be used. ``adata`` is then as
        it was.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(150, n_genes=150)
    >>> sctools.tl.compare_priors(
    ...     adata,
    ...     "cell_type",
    ...     "prior",
    ...     modes=["hard", "logistic regression"],
    ...     label_fractions=[1.0],
    ...     n_splits=1,
    ...     train_kwargs={"max_epochs": 1},
    ...     progress_bar=False,
    ... )
    >>> adata.uns["compare_priors"]["results"]["mode"].tolist()
    ['hard', 'logistic regression']
    """
    from tqdm.auto import tqdm

    check_adata(adata)
    check_flags(log_normalized=log_normalized, progress_bar=progress_bar, copy=copy)
    check_names(labels_key=labels_key, unlabeled_category=unlabeled_category, layer=layer)
    check_names(test_key=test_key)
    check_options(model_kwargs=model_kwargs, train_kwargs=train_kwargs)
    check_writable(adata, copy=copy)
    check_key_added(adata, key_added)
    modes, label_fractions = _listed(modes, "modes"), _listed(label_fractions, "label_fractions")
    _check_arguments(modes, label_fractions, n_splits, test_size)
    labels = read_labels(adata, labels_key, unlabeled_category)
    test = None if test_key is None else _read_test(adata, test_key, labels.codes, labels.classes)
    seed = int(as_generator(rng).integers(2**31))
    splits = list(
        label_splits(
            labels.codes,
            test,
            label_fractions=label_fractions,
            n_splits=n_splits,
            test_size=test_size,
            seed=seed,
        )
    )
    memory = adata.to_memory() if adata.isbacked else adata
    get_expression(memory, layer)
    shown = settings.progress_bar if progress_bar is None else progress_bar
    rows = []
    with tqdm(total=len(splits) * len(modes), desc="runs", disable=not shown, leave=False) as bar:
        for split in splits:
            for mode in modes:
                scores = run_mode(
                    memory,
                    split,
                    mode,
                    labels_key=labels_key,
                    net=net,
                    layer=layer,
                    log_normalized=log_normalized,
                    model_kwargs=dict(model_kwargs or {}),
                    train_kwargs=dict(train_kwargs or {}),
                )
                rows.append({"mode": mode, **scores})
                bar.update()
    results = pd.DataFrame(rows)
    params = recorded_params(
        method="compare_priors",
        labels_key=labels_key,
        modes=modes,
        label_fractions=[float(value) for value in label_fractions],
        n_splits=int(n_splits),
        test_key=test_key,
        test_size=None if test_key is not None else float(test_size),
        layer=layer,
        log_normalized=log_normalized,
        seed=seed,
    )
    target = adata
    if copy:
        target = adata.to_memory() if adata.isbacked else adata.copy()
    target.uns[key_added] = {"params": params, "results": results}
    return target if copy else None


def run_mode(
    adata: AnnData,
    split: LabelSplit,
    mode: str,
    *,
    labels_key: str,
    net: Any,
    layer: str | None,
    log_normalized: bool,
    model_kwargs: dict[str, Any],
    train_kwargs: dict[str, Any],
) -> dict[str, float]:
    """Fit one mode on the training cells of a split and score it on the test cells."""
    from sklearn.linear_model import LogisticRegression

    from ..model import PriorTransformer
    from ..model._runner import quiet
    from ._prior_transformer import private_copy

    given = private_copy(adata[split.train], [labels_key], layer, net, adata.uns)
    asked = private_copy(adata[split.test], [labels_key], layer, net, adata.uns)
    truth = asked.obs[labels_key].astype(str).to_numpy()
    with quiet():
        PriorTransformer.setup_anndata(given, labels_key, log_normalized=log_normalized)
        options = {
            "rng": split.model_seed,
            **model_kwargs,
            "prior": "hard" if mode == LOGISTIC else mode,
        }
        with named_options("model_kwargs"):
            network = PriorTransformer(given, net, **options)
        if mode == LOGISTIC:
            classifier = LogisticRegression(max_iter=2000)
            classifier.fit(network.values(given), given.obs[labels_key].astype(str))
            proba = classifier.predict_proba(network.values(asked))
            classes = classifier.classes_
        else:
            options = {"rng": split.model_seed, "progress_bar": False, **train_kwargs}
            with named_options("train_kwargs"):
                network.train(**options)
            proba = network.predict_proba(asked, log_normalized=log_normalized)
            classes = np.array(network.classes, dtype=object)
    scores = score(truth, proba, classes)
    return {
        "label_fraction": split.label_fraction,
        "n_labels": len(split.train),
        "seed": split.number,
        **scores,
        "n_test": len(truth),
    }


def score(truth: np.ndarray, proba: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-F1 over the true classes, expected calibration error."""
    from .._calibration_error import expected_calibration_error
    from ..model._prior_training_plan import macro_f1

    predicted = np.asarray(classes)[proba.argmax(axis=1)].astype(str)
    correct = predicted == truth
    confidence = np.minimum(proba.max(axis=1), 1.0)
    return {
        "accuracy": float(correct.mean()),
        "macro_f1": macro_f1(truth, predicted),
        "ece": expected_calibration_error(confidence, correct),
    }


def _listed(values: Any, argument: str) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"`{argument}` must be a list, found {values!r}.")
    return list(values)


def _check_arguments(
    modes: list[str], label_fractions: list[float], n_splits: int, test_size: float
) -> None:
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown or not modes:
        raise ValueError(
            f"`modes` must name some of {listing(MODES)}, found {listing(unknown or modes)}."
        )
    numbers = all(isinstance(value, Real) for value in label_fractions)
    if not label_fractions or not numbers or not all(0 < value <= 1 for value in label_fractions):
        raise ValueError(
            f"`label_fractions` must be shares above 0 and at most 1, found {label_fractions!r}."
        )
    check_whole(n_splits, "n_splits")
    if not isinstance(test_size, Real) or not 0 < test_size < 1:
        raise ValueError(f"`test_size` must lie between 0 and 1, found {test_size!r}.")


def _read_test(adata: AnnData, key: str, codes: np.ndarray, classes: list[str]) -> np.ndarray:
    check_obs_key(adata, key, argument="test_key")
    column = adata.obs[key]
    test = column.isin([True]).to_numpy()
    if not column.isin([True, False]).all():
        raise ValueError(
            f"`adata.obs[{key!r}]` (`test_key`) must be boolean, found values such as "
            f"{listing(column.unique()[:3])}. Make it so, as in "
            f"`adata.obs['test'] = adata.obs[{key!r}] == …`."
        )
    if not (test & (codes >= 0)).any():
        raise ValueError(f"`adata.obs[{key!r}]` (`test_key`) is true for no labelled cell.")
    n_pool = np.bincount(codes[~test & (codes >= 0)], minlength=len(classes))
    few = [name for name, n in zip(classes, n_pool, strict=True) if n < 2]
    if few:
        raise ValueError(
            f"Outside of `test_key={key!r}` there are fewer than two cells of {listing(few)}. "
            "Leave these classes out, or test on other cells."
        )
    return test
