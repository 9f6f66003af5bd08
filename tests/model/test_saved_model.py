from __future__ import annotations

import json
import os

import pytest
import torch

from sctools.model import AgeClock
from sctools.model._saved_model import AGE_CLOCK, PRIOR_TRANSFORMER, read_model, write_model

DESCRIPTION = {"genes": ["A", "ß"], "parts": [], "keys": {"sample_key": None}}


def tensors():
    return {
        "float": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        "double": torch.tensor([1 / 3], dtype=torch.float64),
        "long": torch.arange(5),
        "infinite": torch.tensor([torch.inf]),
        "strided": torch.arange(6.0).reshape(2, 3).T,
        "empty": torch.zeros(0, 2),
    }


def test_what_is_written_is_read(tmp_path):
    folder = tmp_path / "deep" / "down"
    write_model(AGE_CLOCK, folder, DESCRIPTION, tensors(), overwrite=False)
    description, found = read_model(AGE_CLOCK, folder)
    assert DESCRIPTION.items() <= description.items()
    assert found.keys() == tensors().keys()
    for name, value in tensors().items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name
    assert sorted(path.name for path in folder.iterdir()) == ["clock.json", "clock.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_files_are_for_those_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        write_model(AGE_CLOCK, tmp_path, DESCRIPTION, tensors(), overwrite=False)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"clock.json": 0o640, "clock.safetensors": 0o640}


def test_the_description_can_be_read_by_eye(tmp_path):
    write_model(AGE_CLOCK, tmp_path, DESCRIPTION, tensors(), overwrite=False)
    content = json.loads((tmp_path / "clock.json").read_text(encoding="utf-8"))
    assert content["format"] == "sctools-age-clock"
    assert content["format_version"] == AGE_CLOCK.version == 1


@pytest.mark.parametrize("name", ["clock.json", "clock.safetensors"])
def test_nothing_is_replaced_unasked(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=rf"{name} exists.*overwrite=True"):
        write_model(AGE_CLOCK, tmp_path, DESCRIPTION, tensors(), overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    write_model(AGE_CLOCK, tmp_path, DESCRIPTION, tensors(), overwrite=True)
    assert read_model(AGE_CLOCK, tmp_path)[1].keys() == tensors().keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"damaged or cut short"),
        ("{", r"damaged or cut short"),
        (b"\xff\xfe\x00", r"damaged or cut short"),
        ("[]", r"describes something else"),
        ("3", r"describes something else"),
        ("{}", r"describes something else"),
        ('{"format": "other", "format_version": 1}', r"describes something else"),
        ('{"format": "sctools-age-clock"}', r"describes something else"),
        ('{"format": "sctools-age-clock", "format_version": "1"}', r"describes something else"),
        (
            '{"format": "sctools-age-clock", "format_version": 2}',
            r"newer sctools \(format 2, this one reads up to 1\).*Upgrade sctools-ml",
        ),
    ],
)
def test_descriptions_that_are_refused(tmp_path, content, message):
    write_model(AGE_CLOCK, tmp_path, DESCRIPTION, tensors(), overwrite=False)
    (tmp_path / "clock.json").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(ValueError, match=message):
        AgeClock.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 64, b'\x08\0\0\0\0\0\0\0{"a": 1}'])
def test_tensors_that_are_refused(tmp_path, content):
    write_model(AGE_CLOCK, tmp_path, DESCRIPTION, tensors(), overwrite=False)
    (tmp_path / "clock.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged or cut short.*Save or copy it again"):
        AgeClock.load(tmp_path)


def test_a_whole_format_that_fits_no_clock(tmp_path):
    for description in (
        {},
        DESCRIPTION,
        {**DESCRIPTION, "parts": 3},
        {**DESCRIPTION, "target_sum": 1.0, "network": {}, "settings": {}, "age_unit": "years",
         "parts": ["x"]},
        {**DESCRIPTION, "target_sum": 1.0, "network": {"depth": 3}, "settings": {},
         "age_unit": "years"},
        {**DESCRIPTION, "target_sum": 1.0, "network": {}, "settings": {}, "age_unit": "years",
         "parts": [{"n_genes": 2, "n_members": 1, "categories": []}]},
        {**DESCRIPTION, "target_sum": 1.0, "network": {}, "settings": {}, "age_unit": "years",
         "keys": {"cell_type_key": "a"}, "parts": [{"n_genes": 2, "n_members": 1,
                                                    "categories": {}}]},
        {**DESCRIPTION, "target_sum": 1.0, "network": {}, "settings": {}, "age_unit": "years",
         "keys": {}, "parts": [{"n_genes": 2, "n_members": 1, "categories": {}}]},
    ):  # fmt: skip
        write_model(AGE_CLOCK, tmp_path, description, tensors(), overwrite=True)
        with pytest.raises(ValueError, match=r"not a whole saved model.*do not fit together"):
            AgeClock.load(tmp_path)


def test_a_model_of_another_kind(tmp_path):
    write_model(AGE_CLOCK, tmp_path, DESCRIPTION, tensors(), overwrite=False)
    with pytest.raises(ValueError, match=r"by `sctools.model.PriorTransformer.save`.*lacks"):
        read_model(PRIOR_TRANSFORMER, tmp_path)
    for old, new in zip(AGE_CLOCK.files, PRIOR_TRANSFORMER.files, strict=True):
        (tmp_path / old).rename(tmp_path / new)
    with pytest.raises(ValueError, match="describes something else"):
        read_model(PRIOR_TRANSFORMER, tmp_path)
