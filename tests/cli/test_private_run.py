"""A run under a budget, from a declared table to a verified export: paid once, and nothing leaves that was not paid for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import synth
from synth.config import RunConfig
from synth.errors import BudgetError, ConfigError, NotApprovedError, SchemaError, VerificationError
from synth.gate.policy import Policy
from synth.generators.marginals import Marginals
from synth.metrics.measurement import Measurements
from synth.metrics.released import evaluate_released
from synth.privacy.budget import Budget
from synth.privacy.ledger import Ledger
from synth.public_figures import privacy_facts
from synth.run import Run, run
from tests.declared import COLUMNS, declared, values

pytest.importorskip("opendp", reason="noise is OpenDP's: pip install 'synth[dp]'")

ROWS = 3_217  # no other number in an export is like it
UNIQUE = "ultraviolet-7f3a"  # one row's own, and no declared category


def rows() -> dict[str, list[Any]]:
    made = values(ROWS)
    made["colour"][5] = UNIQUE
    made["age"][7] = 119
    return made


def document(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "people",
        "data": {"source": str(folder / "people.parquet"), "schema": str(folder / "schema.yaml"), "target": "member"},
        "generator": {"name": "marginals", "params": {"method": "mst"}},
        "sample": {"n": 2_000},
        "policy": "private-release",
        "privacy": {"epsilon": 2, "delta": 1e-5, "dataset": "people"},  # at 1 a true run is stopped once in 50,000 times
        "export": {"formats": ["parquet", "csv"]},
        **changes,
    }


def laid_out(folder: Path) -> Path:
    """A folder with the table, its schema and a run config."""
    pq.write_table(declared(rows()).arrow, folder / "people.parquet")
    (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": COLUMNS}))
    (folder / "run.yaml").write_text(yaml.safe_dump(document(folder)))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return laid_out(tmp_path)


def counts(text: str) -> bool:
    """Whether the number of real rows stands in a text by itself, and not within a digest or a fraction."""
    return re.search(rf"(?<![\w.,]){ROWS // 1000},?{ROWS % 1000}(?![\w.])", text) is not None


def test_the_number_of_rows_would_be_found() -> None:
    assert all(counts(text) for text in ('{"rows": 3217}', "3,217 rows", "from 3217,", "<td>3217</td>"))
    assert not any(counts(text) for text in ("a3217f", "0.3217", "13,217", "32170"))


def texts(folder: Path) -> dict[str, str]:
    """Every file of a folder, the metadata and rows of Parquet among them, as text."""
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        found[file.name] = file.read_bytes().decode("utf-8", "replace")
        if file.suffix == ".json" and "payload" in (envelope := json.loads(found[file.name])):
            found[file.name] = base64.b64decode(envelope["payload"]).decode()
        if file.suffix == ".parquet":
            table = pq.read_table(file)
            found[file.name] = f"{table.schema.metadata} {table.schema} {table.slice(0, 50).to_pylist()}"
    return found


def test_a_run_under_a_budget_is_approved_exported_and_verified_and_paid_once(place: Path, cli: Callable[..., Any]) -> None:
    done = cli("run", place / "run.yaml", "--out", place / "run", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["decision"] == "approved"
    assert cli("verify", told["export"]).code == 0
    [account] = Ledger().accounts()
    spendings = [entry for entry in Ledger().entries() if entry.kind == "spending"]
    assert (account.dataset, len(spendings)) == ("people", 1)
    assert account.left_micro_rho == 0

    before = Ledger().entries()
    (place / "people.parquet").unlink()  # what is not there cannot be read
    again = cli("run", place / "run.yaml", "--out", place / "again")
    assert again.code == 2
    assert "nothing was read" in again.err
    assert Ledger().entries() == before
    assert not (place / "again").exists()
    assert not [path.name for path in place.iterdir() if path.name.startswith((".again", "again"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The folder of one run that is done, and the home that its key and its ledger lie in."""
    home, folder = tmp_path_factory.mktemp("home"), laid_out(tmp_path_factory.mktemp("done"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTH_HOME", str(home))
        run(RunConfig.load(folder / "run.yaml"), out=folder / "run")
        yield folder, home


@pytest.fixture
def done(finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SYNTH_HOME", str(finished[1]))
    return Run.open(finished[0] / "run")


def test_nothing_that_leaves_holds_an_exact_count_a_real_value_or_a_digest_of_real_rows(done: Run) -> None:
    place = done.path.parent
    table = synth.read(place / "people.parquet", schema=place / "schema.yaml", check=False)
    file = hashlib.sha256((place / "people.parquet").read_bytes()).hexdigest()
    told = [UNIQUE, table.digest(), file]
    assert done.exported is not None
    for name, text in texts(done.exported).items():
        for secret in told:
            assert secret not in text, (name, secret)
        assert not counts(text), name
        assert "data_sketch" not in text, name
        assert str(place) not in text, name


def test_nor_does_the_run_folder_itself(done: Run) -> None:
    for name, text in texts(done.path).items():
        assert UNIQUE not in text, name
        assert name in ("model.json", "arrays.npz") or not counts(text), name  # noisy counts may be anything
    assert not (done.path / "split.json").exists()
    assert done.measurements.context["rows"]["train"] is None


def test_what_leaves_says_what_was_spent_and_on_whom(done: Run) -> None:
    assert done.exported is not None
    entry = [entry for entry in Ledger().entries() if entry.kind == "spending"][-1]
    said = json.loads((done.exported / "verdict.json").read_bytes())["context"]["privacy"]
    assert (said["epsilon"], said["delta"], said["unit"], said["dataset"]) == (2.0, 1e-5, "row", "people")
    assert Ledger().knows(said["entry"], said["entry_digest"])
    assert said["secure"] is True
    assert said["mechanism"] == "marginals (mst)"
    assert "categories" in said["declared"]["colour"]
    assert done.approval is not None
    [signed] = [e for e in done.approval.statement["predicate"]["configuration"] if e["name"] == "privacy/people"]
    assert signed["digest"]["sha256"] == entry.digest
    assert (signed["annotations"]["epsilon"], signed["annotations"]["secure"]) == (2.0, True)
    card = (done.exported / "README.md").read_text()
    assert "ε = 2 and δ = 1e-05 for each row of the data set people" in card
    assert "NIST SP 800-226" in card
    for name in ("README.md", "croissant.json"):
        assert "No differential privacy is claimed" not in (done.exported / name).read_text(), name


def test_the_run_can_be_judged_again_without_another_look(done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*given: Any, **more: Any) -> Any:
        raise AssertionError("the real rows were read")

    monkeypatch.setattr("synth.run_folder.tables", looked)
    shutil.copytree(done.path, tmp_path / "run")
    before = Ledger().entries()
    verdict = Run.open(tmp_path / "run").judge(Policy.load("private-release"))
    assert verdict.decision == "approved"
    assert Ledger().entries() == before
    Run.open(tmp_path / "run").export(tmp_path / "out")


@pytest.mark.attack(
    "deletes the privacy ledger, puts an older one back or another machine's in its place, to begin anew",
    "the runs that it forgets are no longer judged or exported here",
)
@pytest.mark.parametrize("how", ["deleted", "older", "another's"])
def test_a_ledger_that_forgets_this_run_is_noticed(
    done: Run, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(done.path, tmp_path / "run")
    book = tmp_path / "ledger.sqlite"
    monkeypatch.setenv("SYNTH_LEDGER", str(book))
    if how != "deleted":
        Ledger().open_account("people", Budget(2.0, 1e-5), by="Eve")
    if how == "another's":
        Ledger().spend("people", 10, what="fit of marginals", by="Eve")
    for act in (lambda r: r.judge(Policy.load("private-release")), lambda r: r.export(tmp_path / "out")):
        with pytest.raises(VerificationError, match="does not know entry 2"):
            act(Run.open(tmp_path / "run"))
    monkeypatch.delenv("SYNTH_LEDGER")
    Run.open(tmp_path / "run").export(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": "research"}, "asks for no privacy budget"),
        ({"generator": "trees"}, "takes no privacy budget"),
        (
            {"generator": "autoregressive", "privacy": {"epsilon": 1, "delta": 1e-5, "dataset": "people", "judging_share": 0}},
            "keeps no noisy counts",
        ),
        ({"generator": {"name": "marginals", "seed": 3}}, "generator.seed"),
        ({"privacy": {"epsilon": 1, "delta": 1e-5, "dataset": "people", "noise_seed": 3}}, "noise_seed"),
        ({"privacy": {"epsilon": 1, "delta": 1e-5, "dataset": "people", "unit": "subject"}}, "rows_per_subject"),
        ({"split": {"holdout": 0.5}}, "one row more"),
        ({"evaluate": {"fits": 2}}, "outside any budget"),
    ],
)
def test_what_does_not_go_with_a_budget_is_refused_and_costs_nothing(place: Path, changes: dict[str, Any], words: str) -> None:
    (place / "people.parquet").unlink()
    with pytest.raises(ConfigError, match=words):
        run(RunConfig.parse(document(place, **changes)), out=place / "run")
    assert Ledger().accounts() == ()
    assert not (place / "run").exists()


def test_what_nobody_declared_is_refused_and_costs_nothing(place: Path) -> None:
    job = document(place)
    del job["data"]["schema"]
    with pytest.raises(SchemaError, match="nothing is read off the rows for free"):
        run(RunConfig.parse(job), out=place / "run")
    assert Ledger().accounts() == ()


def test_a_budget_above_the_policys_is_rejected_and_stays_spent(place: Path) -> None:
    job = document(place, privacy={"epsilon": 8, "delta": 1e-5, "dataset": "people"})
    ended = run(RunConfig.parse(job), out=place / "run")
    assert ended.verdict is not None
    assert ended.verdict.decision == "rejected"
    assert [f.check for f in ended.verdict.blocking] == ["requires.dp"]
    assert ended.exported is None
    with pytest.raises(BudgetError):
        run(RunConfig.parse(job), out=place / "again")


def test_subjects_are_protected_whole_and_named_so(place: Path) -> None:
    made = rows() | {"who": [f"p{i // 2}" for i in range(ROWS)]}
    pq.write_table(pa.table(made), place / "people.parquet")
    schema = {"subject": "who", "columns": {**COLUMNS, "who": {"kind": "identifier"}}}
    (place / "schema.yaml").write_text(yaml.safe_dump(schema))
    budget = {"epsilon": 3, "delta": 1e-5, "dataset": "people", "unit": "subject", "rows_per_subject": 2}
    ended = run(RunConfig.parse(document(place, privacy=budget)), out=place / "run")
    assert ended.exported is not None
    card = (ended.exported / "README.md").read_text()
    assert "for each subject with at most 2 rows of the data set people" in card
    assert Ledger().account("people").cap == Budget(3.0, 1e-5, "subject", 2)


def test_about_as_many_rows_are_drawn_as_there_are_and_never_exactly_as_many(place: Path) -> None:
    job = document(place)
    del job["sample"]
    ended = run(RunConfig.parse(job), out=place / "run")
    assert len(ended.synthetic) in (3_100, 3_200, 3_300)


# a method that keeps no noisy counts: some are bought to judge it by ---------------------------------------------------------


NETWORK = {"private_steps": 2, "private_rate": 0.25, "private_width": 16, "private_times": 2, "blocks": 1}
NAMES = ("colour", "grade", "member")


def network(folder: Path, *, torn: bool) -> Run:
    """The run of a network that hardly learns on columns that are alike, torn from each other or not."""
    pytest.importorskip("torch", reason="the network is trained with torch")
    pytest.importorskip("dp_accounting", reason="the accounting of DP-SGD needs dp-accounting")
    whole = values(10_000)  # so many, and as many made, that one run differs little from the next: noise has no seed
    if torn:
        rng = np.random.default_rng(0)
        whole = {name: [whole[name][row] for row in rng.permutation(10_000)] for name in NAMES}
    pq.write_table(pa.table({name: whole[name] for name in NAMES}), folder / "people.parquet")
    (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": {name: COLUMNS[name] for name in NAMES}}))
    job = document(folder, generator={"name": "autoregressive", "params": NETWORK})
    job |= {"privacy": {"epsilon": 3, "delta": 1e-5, "dataset": "people"}, "sample": {"n": 10_000}}
    return run(RunConfig.parse(job), out=folder / "run")


def test_a_network_buys_counts_to_be_judged_by_and_leaves_with_them_named(tmp_path: Path, cli: Callable[..., Any]) -> None:
    ended = network(tmp_path, torn=True)
    assert ended.verdict is not None
    assert ended.verdict.decision == "approved", ended.verdict
    assert ended.exported is not None
    assert cli("verify", ended.exported).code == 0
    card = (ended.exported / "README.md").read_text()
    assert "3 noisy tables of one column and 3 of two, bought for" in card
    assert "53 random bits" in card
    model = synth.load(ended.path / "model")
    assert model.receipt is not None
    assert model.judging is not None
    assert 0.99 * 3 < model.receipt.cost.epsilon(1e-5) <= 3  # counts to judge by, counts and steps together
    spent = [cost for what, cost in model.receipt.spent if "to judge by" in what]
    assert sum(spent) == model.judging.micro_rho == int(0.1 * model.receipt.budget.micro_rho)


def test_a_network_that_learned_too_little_is_found_out_by_them(tmp_path: Path) -> None:
    ended = network(tmp_path, torn=False)
    assert ended.verdict is not None
    assert ended.verdict.decision == "rejected"
    assert "fidelity.worst_noisy_marginal" in [finding.check for finding in ended.verdict.blocking]
    assert ended.exported is None


# the figures, and what they catch -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Marginals:
    return Marginals(method="mst").fit(declared(values(ROWS)), budget=Budget(2.0, 1e-5), dataset="others", noise_seed=1)


def judged(model: Marginals, rows: synth.Table, **privacy: Any) -> Any:
    assert model.receipt is not None
    facts = privacy_facts(model, model.receipt) | {"secure": True} | privacy
    context = {
        "rows": {"train": None, "holdout": None, "synthetic": len(rows)},
        "digests": {"train": None, "holdout": None, "synthetic": rows.digest(), "schema": rows.schema.digest()},
        "target": None, "sensitive": [], "seed": 0, "synth": synth.__version__,
        "data_sketch": ["00000000000000aa"], "privacy": facts, "figures": "public",
    }  # fmt: skip
    return Policy.load("private-release").judge(evaluate_released(model, rows, context=context))


def test_rows_that_are_not_of_the_model_are_rejected(model: Marginals) -> None:
    """One column torn from the others, each of which stays as it was."""
    drawn = model.sample_table(3_000, seed=0)
    assert judged(model, drawn).decision == "approved"
    torn = drawn.arrow.set_column(
        drawn.arrow.column_names.index("age"),
        drawn.arrow.schema.field("age"),
        drawn.arrow.column("age").take(pa.array(np.random.default_rng(0).permutation(3_000))),
    )
    assert judged(model, synth.Table(torn, drawn.schema)).decision == "rejected"


def test_noise_that_came_from_a_seed_is_rejected_and_never_exported(model: Marginals) -> None:
    drawn = model.sample_table(3_000, seed=0)
    assert drawn.provenance is not None
    assert drawn.provenance.noise_known
    verdict = judged(model, drawn, secure=False)
    assert [f.check for f in verdict.blocking] == ["requires.dp"]
    with pytest.raises(NotApprovedError, match="noise came from a seed"):
        synth.approve(judged(model, drawn))  # whatever its figures say


def test_rows_without_a_budget_are_not_approved(model: Marginals) -> None:
    measured = judged(model, model.sample_table(500, seed=0)).measurements
    bare = {name: fact for name, fact in measured.context.items() if name != "privacy"}
    verdict = Policy.load("private-release").judge(Measurements(measured.items, bare, measured.synthetic))
    assert verdict.decision == "inconclusive"
    assert [f.check for f in verdict.blocking] == ["requires.dp"]
