from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sctools.get import attention_df
from sctools.pl import prior_transformer

from ._fake_prior_result import fake_prior_result

KEY = "prior_transformer"


def _rows(ax):
    """Names of the groups, without their numbers of cells and on one line."""
    labels = [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]
    return [label.rpartition(" (")[0] for label in labels]


def _tfs(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def _values(ax):
    (mesh,) = ax.collections
    return np.asarray(mesh.get_array()).reshape(len(_rows(ax)), len(_tfs(ax)))


def _expected(adata):
    """Groups × TFs, by plain pandas."""
    df = attention_df(adata)
    mean = df.groupby(["group", "source"], observed=True)[["lift", "gene_attention"]].apply(
        lambda part: np.average(part["lift"], weights=part["gene_attention"])
    )
    return np.log2(mean.unstack())


def test_values():
    adata = fake_prior_result()
    ax = prior_transformer(adata, show=False)
    assert _rows(ax) == ["Monocyte", "T cell", "immature/naive B cell"]
    expected = _expected(adata).loc[_rows(ax), _tfs(ax)]
    np.testing.assert_allclose(_values(ax), expected, rtol=1e-5, atol=1e-6)
    assert ax.get_ylabel() == "cell_type (cells)"
    assert ax.get_xlabel() == "TF (12 of 13)"


def test_contrast():
    adata = fake_prior_result()
    ax = prior_transformer(adata, value="contrast", show=False)
    lift = _expected(adata).loc[_rows(ax), _tfs(ax)].to_numpy()
    expected = np.stack([lift[i] - np.delete(lift, i, axis=0).mean(axis=0) for i in range(3)])
    np.testing.assert_allclose(_values(ax), expected, rtol=1e-5, atol=1e-6)
    assert "other groups" in ax.collections[0].colorbar.ax.get_ylabel()
    assert "other groups" not in (
        prior_transformer(adata, show=False).collections[0].colorbar.ax.get_ylabel()
    )


def test_top_tfs_of_every_group_form_a_diagonal():
    adata = fake_prior_result([f"type {i}" for i in range(12)])
    ax = prior_transformer(adata, n_top=2, show=False)
    # Natural order, not that of text.
    assert _rows(ax) == [f"type {i}" for i in range(12)]
    assert [tf.split("x")[0] for tf in _tfs(ax)] == [f"TF{i}" for i in range(12) for _ in range(2)]
    assert (_values(ax).argmax(axis=0) == np.repeat(np.arange(12), 2)).all()


def test_groups_are_natural_sorted_whatever_their_stored_order():
    adata = fake_prior_result([f"type {i}" for i in range(12)])
    expected = prior_transformer(adata, show=False)
    result = adata.uns[KEY]
    order = np.argsort(result["groups"])  # that of text
    result["groups"] = result["groups"][order]
    result["n_cells"] = result["n_cells"][order]
    for name in ("attention", "lift", "gene_attention"):
        result[name] = result[name][:, order]
    ax = prior_transformer(adata, show=False)
    assert list(result["groups"]) != _rows(ax)
    assert _rows(ax) == _rows(expected)
    assert _tfs(ax) == _tfs(expected)
    np.testing.assert_allclose(_values(ax), _values(expected))


def test_number_of_tfs_falls_with_that_of_groups():
    ax = prior_transformer(fake_prior_result(tfs_per_type=8), show=False)
    assert len(_tfs(ax)) == 15
    names = [f"type {i}" for i in range(30)]
    ax = prior_transformer(fake_prior_result(names, tfs_per_type=3, n_cells=5), show=False)
    assert len(_tfs(ax)) == 60


def test_tfs_of_few_targets():
    """LONER has the highest lift of all, from a single target."""
    adata = fake_prior_result()
    assert "LONER" not in _tfs(prior_transformer(adata, show=False))
    ax = prior_transformer(adata, min_targets=1, show=False)
    assert _tfs(ax)[0] == "LONER"
    ax = prior_transformer(adata, min_targets=9, show=False)
    assert all(tf.endswith("x3") for tf in _tfs(ax))
    with pytest.raises(ValueError, match=r"min_targets=10. targets; the most is 9\. Lower"):
        prior_transformer(adata, min_targets=10)
    ax = prior_transformer(adata, tfs=["TF1x0", "LONER"], show=False)
    assert _tfs(ax) == ["TF1x0", "LONER"]
    assert ax.get_xlabel() == "TF"


def test_scale_is_centred_at_even_attention():
    (mesh,) = prior_transformer(fake_prior_result(), show=False).collections
    low, high = mesh.get_clim()
    assert low == -high
    *color, _ = mesh.cmap(mesh.norm(0.0))
    assert min(color) > 0.9
    # Where attention stays with the genes themselves, all lifts are low: the scale shows it.
    adata = fake_prior_result()
    adata.uns[KEY]["lift"] /= 6
    ax = prior_transformer(adata, show=False)
    assert _values(ax).max() < 0
    assert ax.collections[0].get_clim()[0] == pytest.approx(_values(ax).min())
    # Neither noise nor single outliers make the scale.
    adata = fake_prior_result(sharpness=0)
    adata.uns[KEY]["lift"][:] = 1.01
    assert prior_transformer(adata, show=False).collections[0].get_clim() == (-0.25, 0.25)
    adata.uns[KEY]["lift"][:] = 0
    ax = prior_transformer(adata, show=False)
    assert np.isfinite(_values(ax)).all()
    assert ax.collections[0].get_clim() == (-3, 3)
    assert ax.collections[0].colorbar.extend == "min"


def test_one_group_has_the_tfs_of_highest_lift():
    adata = fake_prior_result(["only"])
    ax = prior_transformer(adata, n_top=3, show=False)
    expected = _expected(adata).drop(columns="LONER").loc["only"].nlargest(3)
    assert _tfs(ax) == list(expected.index)


def test_kwargs_reach_the_heatmap():
    adata = fake_prior_result()
    ax = prior_transformer(adata, cmap="PuOr", vmax=0.5, cbar=False, show=False)
    (mesh,) = ax.collections
    assert mesh.cmap.name == "PuOr"
    assert mesh.get_clim() == (-0.5, 0.5)
    assert ax.figure.axes == [ax]
    norm = plt.Normalize(-1, 2)
    assert prior_transformer(adata, norm=norm, show=False).collections[0].norm is norm


def test_groups_of_predictions():
    ax = prior_transformer(fake_prior_result(applied=True), show=False)
    assert ax.get_ylabel() == "Prediction (cells)"


def test_errors():
    adata = fake_prior_result()
    with pytest.raises(ValueError, match="'lift' or 'contrast', found 'mean'"):
        prior_transformer(adata, value="mean")
    for wrong in (0, 2.5, "all"):
        with pytest.raises(ValueError, match="`n_top` must be a positive integer"):
            prior_transformer(adata, n_top=wrong)
        with pytest.raises(ValueError, match="`min_targets` must be a positive integer"):
            prior_transformer(adata, min_targets=wrong)
    with pytest.raises(KeyError, match=r"Unknown: 'NOPE'\. Available: 'LONER', 'TF0x0'"):
        prior_transformer(adata, tfs=["NOPE", "TF0x0"])
    assert not plt.get_fignums()
