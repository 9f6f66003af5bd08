from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from sctools.pl import confusion

from ._fake_prior_result import fake_prior_result

KEY = "prior_transformer"
TYPES = ["Monocyte", "T cell", "immature/naive B cell"]


def _rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def _columns(ax):
    return [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]


def _values(ax):
    (mesh,) = ax.collections
    return np.asarray(mesh.get_array()).reshape(len(_rows(ax)), len(_columns(ax)))


def _held_out(adata):
    part = adata.obs[adata.obs[f"{KEY}_split"] == "validation"]
    return part["cell_type"].astype(str), part[KEY].astype(str)


@pytest.mark.parametrize("normalize", ["true", "pred", None])
def test_values_are_of_validation_cells(normalize):
    adata = fake_prior_result(accuracy=0.7, n_cells=200)
    ax = confusion(adata, normalize=normalize, show=False)
    true, predicted = _held_out(adata)
    expected = confusion_matrix(true, predicted, labels=TYPES, normalize=normalize)
    np.testing.assert_allclose(_values(ax), expected)
    assert _columns(ax) == TYPES
    counts = true.value_counts()
    assert _rows(ax) == [f"{name} ({counts[name]})" for name in TYPES]
    assert ax.get_ylabel() == "True label (cells)"
    assert ax.get_xlabel() == "Prediction"
    assert ax.collections[0].get_clim()[0] == 0


def test_title():
    adata = fake_prior_result(accuracy=0.7, n_cells=500)
    true, predicted = _held_out(adata)
    first, second = confusion(adata, show=False).get_title().split("\n")
    assert first == f"{len(true):,} validation cells"
    macro = f1_score(true, predicted, average="macro")
    assert second == f"accuracy {accuracy_score(true, predicted):.3f}, macro-F1 {macro:.3f}"


def test_split():
    adata = fake_prior_result()
    split = adata.obs[f"{KEY}_split"]
    for name in ("train", "validation"):
        title = confusion(adata, split=name, show=False).get_title()
        assert title.startswith(f"{(split == name).sum()} {name} cells")
    assert confusion(adata, split="all", show=False).get_title().startswith("123 cells")
    with pytest.raises(ValueError, match=r"is 'unlabeled'\. Available: .*'train'"):
        confusion(adata, split="unlabeled")
    with pytest.raises(ValueError, match="`split` must be None or one of 'validation'"):
        confusion(adata, split="test")


def test_applied_model_is_judged_by_all_cells():
    adata = fake_prior_result(applied=True)
    with pytest.raises(ValueError, match=r"computed without labels.*labels_key=….*'cell_type'"):
        confusion(adata)
    ax = confusion(adata, "cell_type", show=False)
    assert ax.get_title().startswith("123 cells\n")
    with pytest.raises(ValueError, match=r"prior_transformer_split.*all cells are new"):
        confusion(adata, "cell_type", split="validation")


def test_no_cell_held_out():
    adata = fake_prior_result(validation=False)
    with pytest.raises(ValueError, match=r"none was held out.*split=….*flatter"):
        confusion(adata)
    assert confusion(adata, split="train", show=False).get_title().startswith("123 train cells")


def test_labels_key():
    adata = fake_prior_result()
    with pytest.raises(KeyError, match=r"labels_key='nope'.*Available: 'cell_type'"):
        confusion(adata, "nope")
    adata.obs["other"] = adata.obs["cell_type"]
    del adata.obs["cell_type"]
    with pytest.raises(KeyError, match=r"labels_key='cell_type'.*computed with it"):
        confusion(adata)
    assert _columns(confusion(adata, "other", show=False)) == TYPES


def test_unlabelled_cells_are_left_out():
    adata = fake_prior_result(applied=True)
    adata.uns[KEY]["params"]["unlabeled_category"] = "?"
    labels = adata.obs["cell_type"].astype(object)
    labels.iloc[:20] = "?"
    labels.iloc[20:30] = np.nan
    adata.obs["known"] = labels
    ax = confusion(adata, "known", show=False)
    assert ax.get_title().startswith("93 cells\n")
    assert len(_rows(ax)) == 3
    adata.obs["known"] = "?"
    with pytest.raises(ValueError, match=r"None of the 123 cells has a label.*'known'"):
        confusion(adata, "known")


def test_unknown_counts_as_wrong():
    adata = fake_prior_result(applied=True, accuracy=1, min_confidence=0.8)
    unknown = (adata.obs[KEY] == "Unknown").sum()
    assert unknown > 5
    ax = confusion(adata, "cell_type", normalize=None, show=False)
    assert _columns(ax) == [*TYPES, "Unknown"]
    assert _values(ax)[:, -1].sum() == unknown
    assert f"accuracy {1 - unknown / 123:.3f}" in ax.get_title()


def test_labels_that_are_no_class():
    adata = fake_prior_result(applied=True, accuracy=1)
    labels = adata.obs["cell_type"].astype(str)
    labels.iloc[:9] = "a strange/new type"
    adata.obs["labels"] = labels
    ax = confusion(adata, "labels", normalize=None, show=False)
    assert _rows(ax)[-1] == "(a strange/new type) (9)"
    assert _columns(ax) == TYPES
    assert ax.get_title().split("\n") == [
        "123 cells",
        "accuracy 1.000, macro-F1 1.000",
        "without 9 of no class of the model",
    ]
    adata.obs["labels"] = "strange"
    ax = confusion(adata, "labels", show=False)
    assert ax.get_title() == "123 cells\nno label is a class of the model"
    assert _rows(ax) == ["(strange) (123)"]


def test_diagonal_is_framed():
    ax = confusion(fake_prior_result(), show=False)
    frames = [(patch.get_x(), patch.get_y()) for patch in ax.patches]
    assert frames == [(0, 0), (1, 1), (2, 2)]


def test_numbers_are_written_where_they_fit():
    adata = fake_prior_result(accuracy=0.7, n_cells=100)
    ax = confusion(adata, normalize=None, show=False)
    written = [float(text.get_text() or 0) for text in ax.texts]
    np.testing.assert_array_equal(written, _values(ax).ravel())
    # Without zeros.
    assert {
        text.get_text() for text in confusion(fake_prior_result(accuracy=1), show=False).texts
    } == {
        "1.00",
        "",
    }
    many = fake_prior_result([f"type {i}" for i in range(20)])
    assert not confusion(many, show=False).texts
    _, ax = plt.subplots(figsize=(2, 2))
    assert not confusion(adata, ax=ax).texts
    assert not confusion(adata, annot=False, show=False).texts
    ax = confusion(adata, fmt=".1%", annot=True, show=False)
    assert ax.texts[0].get_text().endswith("%")


def test_classes_are_natural_sorted_and_kwargs_reach_the_heatmap():
    adata = fake_prior_result([f"type {i}" for i in range(12)])
    adata.uns[KEY]["classes"] = np.sort(adata.uns[KEY]["classes"])
    ax = confusion(adata, cmap="Greens", vmax=0.5, show=False)
    assert _columns(ax) == [f"type {i}" for i in range(12)]
    assert ax.collections[0].cmap.name == "Greens"
    assert ax.collections[0].get_clim() == (0, 0.5)


def test_numbers_as_labels():
    adata = fake_prior_result(["0", "1", "2"], applied=True, accuracy=1)
    adata.obs["leiden"] = adata.obs["cell_type"].astype(int)
    assert "accuracy 1.000" in confusion(adata, "leiden", show=False).get_title()


def test_errors():
    adata = fake_prior_result()
    with pytest.raises(ValueError, match="`normalize` must be 'true', 'pred' or None"):
        confusion(adata, normalize="all")
    adata.obs = adata.obs.drop(columns=KEY)
    with pytest.raises(KeyError, match=r"'prior_transformer'.*Run `sctools\.tl\.prior_transform"):
        confusion(adata)
    assert not plt.get_fignums()
