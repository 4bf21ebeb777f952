"""Under a budget: refused before a row is read, paid before a row is counted, and nothing of the rows but through noise."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import synth
from synth import generators
from synth.data.example import example_table
from synth.errors import BudgetError, ConfigError, InputError, SchemaError
from synth.generators._private import Access
from synth.generators._storage import load, serialise
from synth.generators.marginals import Marginals
from synth.privacy.budget import Budget
from synth.privacy.ledger import Ledger
from synth.progress import Progress
from tests.declared import COLUMNS, declared, values

pytest.importorskip("opendp", reason="noise is OpenDP's: pip install 'synth[dp]'")

ROOT = Path(__file__).parents[2]
BUDGET = Budget(1.0, 1e-5)


def fitted(rows: dict[str, list[Any]] | None = None, budget: Budget = BUDGET, **given: Any) -> Marginals:
    more = {key: given.pop(key) for key in ("columns", "subject") if key in given}
    return Marginals(method="mst").fit(declared(rows, **more), budget=budget, **{"dataset": "people", **given})


# refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in generators.names() if not generators.by_name(name).private])
def test_a_method_without_noise_refuses_a_budget_and_says_why(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} takes no privacy budget: .+") as refused:
        generators.by_name(name)().fit(example_table(), budget=BUDGET, dataset="people")
    assert "fit marginals" in str(refused.value) or name == "image-diffusion"
    assert Ledger().accounts() == ()


def test_a_budget_with_facts_read_off_the_rows_is_refused_with_the_words_to_declare_them() -> None:
    with pytest.raises(SchemaError, match="under a privacy budget nothing is read off the rows for free") as refused:
        Marginals().fit(example_table(), budget=BUDGET, dataset="people")
    assert "kind: KIND" in str(refused.value)
    assert Ledger().accounts() == ()  # nothing was spent


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seed": 3}, "noise comes from the operating system"),
        ({"checkpoint": "kept"}, "keep"),
        ({"budget": 1.0}, r"synth\.Budget"),
        ({"budget": None}, "go with a budget"),
        ({"dataset": None}, "dataset=NAME"),
        ({"dataset": "no name"}, "cannot be called"),
        ({"facts_share": 1.5}, "facts_share"),
        ({"budget": Budget(1.0, 1e-5, "subject", 3)}, "no column says whose a row is"),
    ],
)
def test_what_does_not_go_with_a_budget_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, InputError), match=words):
        fitted(**given)
    assert Ledger().accounts() == ()


def test_rows_of_subjects_are_not_protected_one_by_one() -> None:
    rows = {**values(200), "who": [f"p{i // 4}" for i in range(200)]}
    with pytest.raises(ConfigError, match="says whose a row is"):
        fitted(rows, subject="who", columns={"who": {"kind": "identifier"}})


def test_a_constraint_that_is_learned_from_rows_is_refused() -> None:
    table = declared()
    tied = synth.Table(table.arrow, synth.Schema(table.schema.columns, ("combinations(colour, grade)",)))
    with pytest.raises(SchemaError, match="are those that the rows have"):
        Marginals().fit(tied, budget=BUDGET, dataset="people")


def test_without_a_budget_marginals_asks_for_one() -> None:
    with pytest.raises(ConfigError, match="give it one"):
        Marginals().fit(declared())


# paid -----------------------------------------------------------------------------------------------------------------


def test_a_second_look_is_refused_before_the_file_is_opened(tmp_path: Path) -> None:
    fitted()
    before = Ledger().entries()
    with pytest.raises(BudgetError, match="nothing was read"):
        Marginals().fit(tmp_path / "people.csv", budget=BUDGET)  # there is no such file: nobody looked
    assert Ledger().entries() == before


def test_the_first_budget_is_the_cap_and_can_be_raised_on_record() -> None:
    fitted()
    assert Ledger().account("people").cap == BUDGET
    Ledger().change_cap("people", Budget(2.0, 1e-5), by="Ada", reason="a second release")
    assert fitted(budget=Budget(0.5, 1e-5)).receipt.budget.epsilon == 0.5  # type: ignore[union-attr]
    account = Ledger().account("people")
    assert 1.0 < account.epsilon < 1.5  # costs add up as ρ


@dataclass
class Breaks(Marginals):
    """A method that dies after it has looked."""

    def _fit_private(self, rows: Any, schema: Any, access: Access, progress: Progress) -> None:
        raise MemoryError("no more")


def test_a_fit_that_breaks_has_spent() -> None:
    with pytest.raises(MemoryError):
        Breaks().fit(declared(), budget=BUDGET, dataset="people")
    assert Ledger().account("people").left_micro_rho == 0
    with pytest.raises(BudgetError):
        fitted()


def test_the_receipt_is_saved_and_the_ledger_knows_it(tmp_path: Path) -> None:
    model = fitted()
    model.save(tmp_path / "model")
    receipt = load(tmp_path / "model").receipt
    assert receipt == model.receipt
    assert receipt is not None
    assert Ledger().knows(receipt.entry, receipt.digest)
    assert sum(cost for _, cost in receipt.spent) == receipt.cost.micro_rho == BUDGET.micro_rho
    assert receipt.cost.epsilon(1e-5) <= 1.0
    assert set(receipt.declared) == set(COLUMNS)
    assert receipt.secure
    assert load(tmp_path / "model").digest() == model.digest()


def test_a_model_whose_noise_was_seeded_says_so() -> None:
    receipt = fitted(noise_seed=1).receipt
    assert receipt is not None
    assert not receipt.secure


def test_sampling_is_free_and_needs_no_source(tmp_path: Path) -> None:
    table = declared(folder=tmp_path)
    Marginals(method="mst").fit(table, budget=BUDGET, dataset="people").save(tmp_path / "model")
    del table
    (tmp_path / "people.csv").unlink()
    before, model = Ledger().entries(), load(tmp_path / "model")
    drawn = [model.sample(20, seed=seed) for seed in range(100)]
    assert all(len(rows) == 20 for rows in drawn)
    assert Ledger().entries() == before


# nothing but through noise --------------------------------------------------------------------------------------------


def skeleton(model: Marginals) -> Any:
    """All that a saved model says, but for what was counted with noise and estimated from it."""
    document = json.loads(serialise(model)["model.json"])
    for fact in ("entry", "digest", "dataset"):  # of this fit
        del document["privacy"][fact]
    del document["privacy"]["spent"]  # which pairs were chosen, with noise
    for column in document["state"]["domain"]["columns"]:
        column.pop("cuts", None)  # bought, with the noise of the receipt
    singles = [(columns, sigma) for columns, _, sigma in model.measurements if len(columns) == 1]
    shapes = [counts.shape for (name, *_), counts, _ in model.measurements if name in ("colour", "grade", "member")]
    return document["schema"], document["layout"], document["privacy"], document["state"]["domain"], singles, shapes[:3]


ONE_MORE: dict[str, dict[str, Any]] = {
    "an unlisted category": {"colour": "ultraviolet"},
    "an extreme beyond the bounds": {"age": 10**6},
    "a null where none may be": {"score": None},
    "the value that makes a column vary": {"member": True},
    "a digit more": {"score": 0.123456},
}


@pytest.mark.parametrize("row", ONE_MORE.values(), ids=ONE_MORE)
def test_one_more_row_changes_nothing_that_has_no_noise(row: dict[str, Any]) -> None:
    rows = values(300)
    rows["member"] = [False] * 300
    more = {name: [*column, row.get(name, column[0])] for name, column in rows.items()}
    one, other = (fitted(r, noise_seed=7, dataset=name) for r, name in ((rows, "one"), (more, "other")))
    assert skeleton(one) == skeleton(other)


def test_a_null_does_not_change_the_types_of_a_frame() -> None:
    frame = pd.DataFrame({"age": [30, 40] * 50, "member": [True, False] * 50})
    holed = pd.concat([frame, pd.DataFrame({"age": [np.nan], "member": [True]})])  # pandas: integers become floats
    schema = {"columns": {name: COLUMNS[name] for name in frame}}
    types = []
    for place, each in enumerate((frame, holed)):
        table = synth.read(each, schema=schema)
        model = Marginals(method="mst").fit(table, budget=BUDGET, dataset=f"people{place}")
        types.append(model.sample_table(3).arrow.schema)
    assert types[0] == types[1]


def test_two_processes_draw_different_noise(tmp_path: Path) -> None:
    declared(folder=tmp_path)
    code = (
        "import sys, synth; t = synth.read('people.csv', schema='schema.yaml')\n"
        "m = synth.Marginals(method='mst').fit(t, budget=synth.Budget(1, 1e-5), dataset='people', ledger=sys.argv[1])\n"
        "print([counts.tolist() for _, counts, _ in m.measurements])"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "SYNTH_HOME": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", code, ledger], cwd=tmp_path, env=environment, capture_output=True, check=True
        ).stdout
        for ledger in ("one.sqlite", "two.sqlite")
    ]
    assert said[0] != said[1]


def test_same_model_and_seed_same_rows(tmp_path: Path) -> None:
    model = fitted()
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").sample(500, seed=4).arrow.equals(model.sample(500, seed=4).arrow)


def test_subjects_are_cut_to_their_rows_and_pay_for_them() -> None:
    rows = {**values(2_000), "who": [f"p{i // 10}" for i in range(2_000)]}  # ten rows each, of which two count
    more = {"subject": "who", "columns": {"who": {"kind": "identifier"}}}
    model = fitted(rows, budget=Budget(20.0, 1e-5, "subject", 2), **more)
    [(_, counts, sigma)] = [m for m in model.measurements if m[0] == ("member",)]
    assert counts.sum() == pytest.approx(400, abs=6 * sigma)
    single = fitted(rows={**values(2_000)}, budget=Budget(20.0, 1e-5), dataset="rows")
    [(_, _, of_row)] = [m for m in single.measurements if m[0] == ("member",)]
    assert sigma == pytest.approx(2 * of_row, rel=0.2)
    drawn = model.sample(50, seed=0)
    assert "who" in drawn.columns


def test_facts_can_be_bought() -> None:
    rows = values(5_000)
    kept = ("kind", "decimals", "unit")  # what cannot be bought: rows are encoded by it
    bare = {name: {f: fact[f] for f in kept if f in fact} for name, fact in COLUMNS.items() if name != "grade"}
    del rows["grade"]
    table = synth.read(synth.Table(declared(rows).arrow, declared(rows).schema).arrow, schema={"columns": bare})
    model = Marginals(method="mst").fit(table, budget=Budget(8.0, 1e-5), dataset="people", facts_share=0.3)
    receipt = model.receipt
    assert receipt is not None
    assert "categories" in receipt.bought["colour"]
    assert receipt.cost.atto_delta > 0
    assert receipt.cost.epsilon(1e-5) <= 8.0
    drawn = model.sample(500, seed=0)
    assert {"red", "green"} <= set(drawn.column("colour").to_pylist())
    assert np.mean([a for a in drawn.column("age").to_pylist() if a is not None]) == pytest.approx(54, abs=8)
