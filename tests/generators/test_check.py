"""The conformance suite passes what keeps the promises, and names the promise that a broken generator breaks."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from synth import generators
from synth.check import CHECKS, CheckFailed, check_generator
from synth.check.generators import SHARD_ROWS
from synth.data.encoding import Encoded
from synth.data.example import example_table
from synth.data.schema import Schema
from synth.data.table import Table
from synth.generators.image_diffusion import ImageDiffusion
from synth.generators.independent import Independent
from synth.generators.marginals import Marginals
from synth.generators.smote import Smote
from synth.generators.trees import Trees
from synth.progress import Progress, silent
from tests.digits import tiny_digits

NUMBERS = ("age", "income", "left")
QUICK = {  # promises, not fidelity
    name: {"epochs": epochs, "private_steps": 6} for name, epochs in (("autoregressive", 8), ("diffusion", 12), ("gan", 12))
}
QUICK["gan"]["private_critic_steps"] = 2  # else six steps leave the writer as it was
OF_IMAGES = (ImageDiffusion(epochs=4, widths=(8,), steps=3, learning_rate=0.02), tiny_digits(150))  # it learns no other table


@pytest.mark.parametrize("name", generators.names())
def test_every_registered_generator_keeps_every_promise(name: str) -> None:
    if name.startswith("sdv-"):
        pytest.skip("SDV's networks take minutes at their defaults: test_sdv.py checks them with few epochs")
    if name == "image-diffusion":
        report = check_generator(*OF_IMAGES)
    elif name == "marginals":
        pytest.importorskip("opendp", reason="noise is OpenDP's: pip install 'synth[dp]'")
        report = check_generator(Marginals(rounds=2, max_cells=3_000, iterations=20))
    else:
        report = check_generator(generators.create(name, QUICK.get(name, {})))
    skipped = {"frames", "budget"} if name == "marginals" else set()  # a frame declares nothing; all it does is under a budget
    assert set(report.passed) == set(CHECKS) - skipped, report.skipped


@pytest.mark.parametrize(
    "generator",
    [
        Trees(honest=True, discount=False, trees_per_column=3, min_samples_leaf=10),
        Trees(interpolate=False, trees_per_column=1, subsample=1.0, condition_on=("age", "city")),
        Smote(kind="random"),
        Smote(max_rows=200),
    ],
    ids=str,
)
def test_other_hyperparameters_keep_the_promises_too(generator: generators.base.Generator) -> None:
    check_generator(generator)


@pytest.mark.parametrize("kind", ["smote", "borderline", "adasyn"])
def test_smote_kinds_for_numbers_keep_the_promises(kind: Any) -> None:
    check_generator(Smote(kind=kind), example_table().select(NUMBERS))


def test_smoten_keeps_the_promises_on_categories() -> None:
    check_generator(Smote(kind="smoten"), example_table().select(["sex", "city", "grade", "member", "left"]))


# planted faults --------------------------------------------------------------------------------------------------------


@dataclass
class OneRowShort(Independent):
    def sample(self, n: int, **options: Any) -> Any:
        return super().sample(n, **options).head(max(0, n - 1))


@dataclass
class IgnoresNotFitted(Independent):
    def sample(self, n: int, **options: Any) -> Any:
        return super().sample(n, **options) if self.is_fitted else None


@dataclass
class SilentFit(Independent):
    def fit(self, data: Any, *, progress: Progress = silent, **options: Any) -> Any:
        return super().fit(data, **options)


@dataclass
class PaysForNothing(Independent):
    def fit(self, data: Any, *, budget: Any = None, dataset: Any = None, ledger: Any = None, **options: Any) -> Any:
        return super().fit(data, **{name: value for name, value in options.items() if name != "noise_seed"})


@dataclass
class WritesIntoItsInput(Independent):
    def fit(self, data: Any, **options: Any) -> Any:
        if isinstance(data, Table):
            buffer = data.arrow.column("age").chunk(0).buffers()[1]
            ctypes.cast(buffer.address, ctypes.POINTER(ctypes.c_int64))[0] += 1
        return super().fit(data, **options)


@dataclass
class DrawsInfinity(Independent):
    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        rows = super()._sample(n, rng)
        values = {name: rows[name].values for name in rows}
        values["income"] = np.where(np.arange(n) % 10 == 0, np.inf, values["income"])
        return rows.with_values(values)


@dataclass
class RepeatsKeys(Independent):
    def sample(self, n: int, **options: Any) -> Any:
        rows = super().sample(n, **options)
        if not isinstance(rows, Table):
            return rows
        same = pa.array(np.zeros(len(rows), dtype=np.int64))
        return replace(rows, arrow=rows.arrow.set_column(0, rows.arrow.schema.field(0), same))


@dataclass
class FillsNulls(Independent):
    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        rows = super()._sample(n, rng)
        return rows.with_values({name: rows[name].values if name != "age" else np.full(n, 40.0) for name in rows})


@dataclass
class UsesItsOwnRandomness(Independent):
    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return super()._sample(n, np.random.default_rng())


@dataclass
class IgnoresTheSeed(Independent):
    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return super()._sample(n, np.random.default_rng(0))


@dataclass
class RemembersTheFirstFit(Independent):
    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        super()._fit(self.__dict__.get("kept", rows), schema, rng, progress)
        self.__dict__["kept"] = rows

    def forget(self) -> None:
        kept = self.__dict__.get("kept")
        super().forget()
        if kept is not None:
            self.__dict__["kept"] = kept


@dataclass
class IgnoresWhere(Independent):
    def sample(self, n: int, *, where: Any = None, **options: Any) -> Any:
        return super().sample(n, **options)


@dataclass
class NeedsPickle(Independent):
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        state, arrays = super()._state()
        return state, {**arrays, "anything": np.array([{"a": 1}, None], dtype=object)}


@dataclass
class ForgetsWhenSaved(Independent):
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        super()._restore({**state, "nulls": [0 for _ in state["nulls"]]}, arrays, template)


@dataclass
class TouchesObservedCells(Independent):
    def impute(self, data: Any, **options: Any) -> Any:
        done = super().impute(data, **options)
        upside_down = done.arrow.column(1).take(np.arange(len(done))[::-1])
        return replace(done, arrow=done.arrow.set_column(1, done.arrow.schema.field(1), upside_down))


@dataclass
class LeavesHoles(Independent):
    def impute(self, data: Any, **options: Any) -> Any:
        self.fitted  # noqa: B018
        return data


@dataclass
class FillsByChance(Independent):
    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        return super()._impute(rows, np.random.default_rng(), progress)


@dataclass
class GoesOnFromItsLastDraw(Independent):
    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        rows = super()._sample(n, rng)
        if n != SHARD_ROWS:
            return rows
        first = self.__dict__.setdefault("first", rows)
        return rows.with_values({name: np.sort(first[name].values) for name in rows})


@dataclass
class HidesItsOrigin(Independent):
    def sample(self, n: int, **options: Any) -> Any:
        rows = super().sample(n, **options)
        return replace(rows, provenance=None) if isinstance(rows, Table) else rows


@dataclass
class AlwaysGivesTables(Independent):
    def fit(self, data: Any, **options: Any) -> Any:
        super().fit(data, **options)
        self.__dict__["_fitted"] = replace(self.fitted, gives_table=True)
        return self


@dataclass
class HasADeadKnob(Independent):
    strength: float = 1.0


@dataclass
class HidesAParameter(Independent):
    secret: int = 3

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"interpolate": self.interpolate}


@dataclass
class RaisesItsOwnError(Independent):
    name: ClassVar[str] = "independent"

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        raise ZeroDivisionError("a fault of its own")


FAULTS = {
    HidesAParameter: "parameters",
    IgnoresNotFitted: "not fitted",
    SilentFit: "fit",
    WritesIntoItsInput: "input not mutated",
    OneRowShort: "rows and schema",
    RaisesItsOwnError: "input not mutated",
    DrawsInfinity: "legal values",
    RepeatsKeys: "keys",
    FillsNulls: "nulls",
    UsesItsOwnRandomness: "same seed",
    IgnoresTheSeed: "other seed",
    RemembersTheFirstFit: "refit forgets",
    IgnoresWhere: "where",
    NeedsPickle: "save and load",
    ForgetsWhenSaved: "save and load",
    GoesOnFromItsLastDraw: "shards",
    HidesItsOrigin: "provenance",
    TouchesObservedCells: "impute",
    LeavesHoles: "impute",
    FillsByChance: "impute",
    AlwaysGivesTables: "frames",
    HasADeadKnob: "hyperparameters",
    PaysForNothing: "budget",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_caught_by_the_check_of_its_name(fault: type[Independent]) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_generator(fault)
    assert caught.value.check == FAULTS[fault], caught.value


def test_every_check_catches_a_fault() -> None:
    assert set(FAULTS.values()) == set(CHECKS)
