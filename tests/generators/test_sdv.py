"""SDV's methods behind our hooks: seeded, exact in their conditions, saved without pickle. Skipped without SDV."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synth import load
from synth.check import CHECKS, check_generator
from synth.data.example import example_table
from synth.data.table import Table
from synth.errors import ConfigError, DataError, MissingExtraError
from synth.generators import by_name, create, names

QUICK: dict[str, dict[str, Any]] = {"sdv-copula": {}, "sdv-ctgan": {"epochs": 2}, "sdv-tvae": {"epochs": 2}}
needs_sdv = pytest.mark.skipif(
    find_spec("sdv") is None,
    reason="SDV is not installed (its licence, BUSL-1.1, is for each user to accept): pip install 'synth[sdv]'",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_method_is_listed_without_loading_sdv(name: str) -> None:
    assert name in names()
    code = (
        f"import sys; from synth.generators import by_name; by_name({name!r})().get_params();"
        "print({'sdv', 'torch'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"
    assert "BUSL-1.1" in by_name(name).summary


@pytest.mark.skipif(find_spec("sdv") is not None, reason="SDV is installed")
@pytest.mark.parametrize("name", QUICK)
def test_without_sdv_the_error_names_the_extra_and_the_licence(name: str) -> None:
    for call in (lambda: create(name), lambda: by_name(name)().fit(example_table(20))):
        with pytest.raises(MissingExtraError, match=r"BUSL-1\.1.*synth\[sdv\]"):
            call()


@pytest.fixture(scope="module", params=QUICK)
def model(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip("sdv")
    return create(request.param, QUICK[request.param]).fit(example_table(200), seed=0)


@needs_sdv
def test_a_model_is_saved_as_json_and_arrays_and_gives_the_same_rows(model: Any, tmp_path: Path) -> None:
    before = model.sample(70, seed=3)
    model.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["arrays.npz", "model.json"]
    again = load(tmp_path / "model")
    assert again.digest() == model.digest()
    assert again.sample(70, seed=3).arrow.equals(before.arrow)
    where = {"sex": "female", "age": {">=": 30}}
    rows = again.sample(40, where=where, seed=4)
    assert len(rows) == len(rows.where(where)) == 40
    assert rows.arrow.equals(model.sample(40, where=where, seed=4).arrow)


@needs_sdv
def test_sampling_changes_nothing_that_the_next_sample_sees(model: Any) -> None:
    first = model.sample(30, seed=1)
    model.sample(50, seed=2)
    assert model.sample(30, seed=1).arrow.equals(first.arrow)


@needs_sdv
def test_the_global_generators_go_on_as_if_nothing_had_been_drawn(model: Any) -> None:
    import torch

    def drawn() -> list[float]:
        return [random.random(), np.random.random(), float(torch.rand(1))]  # noqa: NPY002 - what is looked at

    def seeded() -> None:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)

    seeded()
    expected = drawn()
    seeded()
    model.sample(20, seed=1)
    assert drawn() == expected


@needs_sdv
def test_a_saved_model_names_no_class_that_is_not_known(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    document = json.loads((tmp_path / "model" / "model.json").read_text())
    document["state"]["model"]["object"] = "Popen"
    (tmp_path / "model" / "model.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="cannot be read as a model"):
        load(tmp_path / "model")


@needs_sdv
def test_no_row_number_of_the_training_rows_is_saved() -> None:
    """CTGAN keeps, for each category, the rows that hold it: with them a training row could be put together again."""
    model = create("sdv-ctgan", {"epochs": 1}).fit(example_table(200), seed=0)
    state, arrays = model._state()
    assert "_rid_by_cat_cols" not in json.dumps(state)
    assert not any(array.dtype.kind in "iu" and array.shape == (200,) for array in arrays.values())


@needs_sdv
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sdv-copula", {"default_distribution": "gaussian_kde"}),
        ("sdv-ctgan", {"epochs": 0}),
        ("sdv-ctgan", {"batch_size": 55}),
        ("sdv-tvae", {"loss_factor": 0}),
    ],
)
def test_nonsense_is_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(params))):
        create(name, params).fit(example_table(30))


@needs_sdv
@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_every_promise_is_kept(name: str) -> None:
    """On rows whose categories have no nulls: to SDV's networks null is one more category, and they miss its share by far."""
    table = example_table(300)
    if name != "sdv-copula":
        table = _without_nulls_in_categories(table)
    report = check_generator(create(name, QUICK[name]), table)
    assert set(report.passed) == set(CHECKS), report.skipped


def _without_nulls_in_categories(table: Table) -> Table:
    whole = [np.asarray(table.column(column.name).is_valid()) for column in table.schema.learned if column.kind.is_category]
    return table.take(np.flatnonzero(np.logical_and.reduce(whole)))
