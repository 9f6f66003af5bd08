"""A disk without room for a model: an error, and what was saved before is as it was."""

from __future__ import annotations

import pytest

from .. import _tools
from .._small_disk import small_disk


@pytest.mark.parametrize("name", ["age_clock", "srsa_vae", "multimodal_srsa_vae",
                                  "prior_transformer"])  # fmt: skip
def test_save(name, tmp_path):
    model = _tools.run(name, _tools.data(name), return_model=True)
    folder = tmp_path / "deep" / "model"
    with small_disk(3000), pytest.raises(OSError, match="could not be saved to"):
        model.save(folder)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    model.save(folder, overwrite=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) in (1, 2)
    with small_disk(3000), pytest.raises(OSError, match="could not be saved to"):
        model.save(folder, overwrite=True)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    with pytest.raises((FileExistsError, ValueError), match="overwrite=True"):
        model.save(folder)
    model.save(folder, overwrite=True)
    assert type(model).load(
        folder, *([] if name in ("age_clock", "prior_transformer") else [model.adata])
    )
