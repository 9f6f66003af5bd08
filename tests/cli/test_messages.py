from __future__ import annotations

import pytest

from sctools._cli import main
from sctools._cli._messages import message_of

OPTIONS = {parameter.name: parameter for parameter in main.commands["age-clock"].params}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("`age_key='x'` is no column", "`--age-key='x'` is no column"),
        ("name it with `layer=`", "name it with `--layer`"),
        ("`n_folds` must be", "`--n-folds` must be"),
        ("pass `cell_type_key=None`", "pass `--cell-type-key=''`"),
        ("say `log_normalized=True`", "say `--log-normalized`"),
        ("leave `log_normalized=False`", "leave `--no-log-normalized`"),
        ("`adata.obs['age']`, `rename=1`, `age key`", "`adata.obs['age']`, `rename=1`, `age key`"),
        ("`source` is no option", "`source` is no option"),
    ],
)
def test_arguments_become_options(said: str, told: str) -> None:
    assert message_of(ValueError(said), OPTIONS) == told


def test_key_error_is_not_quoted() -> None:
    assert message_of(KeyError("it's gone"), {}) == "it's gone"


def test_notes_are_told() -> None:
    error = TypeError("cannot be written")
    error.add_note("while writing 'uns'")
    assert message_of(error, {}) == "cannot be written\nwhile writing 'uns'"


def test_an_error_without_words_has_a_name() -> None:
    assert message_of(MemoryError(), {}) == "MemoryError"


def test_unforeseen_errors_are_named() -> None:
    assert message_of(RuntimeError("boom"), {}).startswith("RuntimeError: boom (")
