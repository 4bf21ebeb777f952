"""Exact figures about rows made under a privacy budget stay in the house; what leaves was paid for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

import synth
from synth.data.quarantine import write_quarantined
from synth.data.table import Table
from synth.errors import ConfigError, DataError, NotApprovedError, VerificationError
from synth.gate.policy import Policy
from synth.generators.marginals import Marginals
from synth.metrics import format as form
from synth.metrics.measurement import Measurements
from synth.privacy.budget import Budget
from synth.run import evaluate_files
from tests.declared import declared, values

pytest.importorskip("opendp", reason="noise is OpenDP's: pip install 'synth[dp]'")

ONLY = ("validity.schema", "fidelity.shape", "fidelity.trend", "privacy.exact_copies")
EXACT = """
name: exact
version: 1.0.0
title: Judges exact figures
description: For a test of rows that were made under a privacy budget.
checks:
  - {measure: fidelity.shape, limit: 0.9, why: "Any rows at all keep this limit."}
  - {measure: privacy.exact_copies, limit: 1, why: "So they do this one."}
formats: [parquet, csv, huggingface, sql]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home that outlives one test."""
    made = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTH_HOME", str(made))
        yield made


@pytest.fixture(scope="module")
def model(home: Path) -> Marginals:
    return Marginals(method="mst").fit(declared(values(1_500)), budget=Budget(3.0, 1e-5), dataset="people")


@pytest.fixture(scope="module")
def drawn(model: Marginals) -> Table:
    return model.sample_table(1_000, seed=1)


@pytest.fixture(scope="module")
def internal(drawn: Table) -> Measurements:
    return synth.evaluate(declared(values(1_500)), declared(values(1_000, seed=1)), drawn, only=ONLY)


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTH_HOME", str(home))


# they are known, and marked -------------------------------------------------------------------------------------------------


def test_exact_figures_of_a_private_models_rows_are_marked(internal: Measurements) -> None:
    assert internal.are_internal
    assert internal.context["figures"] == "internal"
    assert "4 INTERNAL figures" in repr(internal)
    jsonschema.validate(internal.to_dict(), form.schema())
    page = synth.report.page.render(internal)
    assert "Internal.</strong> These rows were made under a privacy budget" in page.split("<main>")[0]


def test_they_are_known_by_a_file_a_frame_or_the_model(model: Marginals, drawn: Table, tmp_path: Path) -> None:
    real, file = declared(values(300)), tmp_path / "fake.parquet"
    model.sample_to(file, 200, seed=3)
    bare = Table(drawn.arrow, drawn.schema)  # as a file of somebody else's would give it
    for rows in (file, synth.read(file), drawn.to_pandas(), drawn.to_arrow(), drawn.head(100)):
        assert synth.evaluate(real, None, rows, only="validity.keys").are_internal, rows
    assert synth.evaluate(real, None, bare, only="validity.keys", model=model).are_internal
    assert not synth.evaluate(real, None, bare, only="validity.keys").are_internal
    done = evaluate_files(_written(real, tmp_path), None, file, tmp_path / "out", only=["validity.keys"])
    assert done.measurements.are_internal


def _written(rows: Table, folder: Path) -> Path:
    pq.write_table(rows.arrow, folder / "real.parquet")
    return folder / "real.parquet"


def test_rows_of_other_models_are_not_marked() -> None:
    real = declared(values(300))
    fake = synth.Independent().fit(real).sample_table(100)
    assert "figures" not in synth.evaluate(real, None, fake, only="validity.keys").context


# nothing leaves on their word -----------------------------------------------------------------------------------------------


@pytest.mark.attack(
    "lets a policy that judges exact figures approve rows made under a privacy budget",
    "never approved: the figures are internal, and that cannot be waived",
)
def test_no_policy_approves_on_their_word(internal: Measurements) -> None:
    verdict = Policy.parse(EXACT).judge(internal)
    assert verdict.decision == "inconclusive"
    assert [finding.check for finding in verdict.blocking] == ["requires.public_figures"]
    assert "synth evaluate --public" in verdict.changes[0]
    with pytest.raises(DataError, match="neither waived nor merely noted"):
        replace(verdict.blocking[0], waiver={"check": "requires.public_figures"})
    with pytest.raises(NotApprovedError):
        synth.approve(verdict)


@pytest.mark.attack(
    "takes the mark off exact figures about rows made under a privacy budget",
    "nothing is signed: the rows themselves, and what is measured, say so",
)
@pytest.mark.parametrize("claim", ["unmarked", "public"])
def test_figures_whose_mark_was_taken_off_are_not_signed(internal: Measurements, claim: str) -> None:
    context = {name: fact for name, fact in internal.context.items() if name != "figures"}
    if claim == "public":
        context["figures"] = "public"
    verdict = Policy.parse(EXACT).judge(Measurements(internal.items, context, internal.synthetic))
    assert verdict.decision == "approved"
    with pytest.raises(NotApprovedError, match="they never leave"):
        synth.approve(verdict)


@pytest.fixture(scope="module")
def public(model: Marginals, drawn: Table) -> Measurements:
    return synth.evaluate_public(model, drawn)


LAYOUTS = {
    "folder": lambda rows, approval, to: synth.export(rows, approval, to / "out", formats=["parquet", "csv", "arrow"]),
    "csv": lambda rows, approval, to: synth.to_csv(rows, to / "out.csv", approval=approval),
    "hub": lambda rows, approval, to: synth.to_hf(rows, to / "hub", approval=approval),
    "table": lambda rows, approval, to: synth.to_sql(rows, f"sqlite:///{to / 'out.db'}", "people", approval=approval),
}


@pytest.mark.attack(
    "reads every byte of an export made under a privacy budget for an exact figure on real rows",
    "there is none, in any layout, although exact ones were measured in the house",
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_leaves_holds_no_exact_figure(
    public: Measurements, internal: Measurements, drawn: Table, layout: str, tmp_path: Path
) -> None:
    verdict = Policy.load("private-release").judge(public)
    assert verdict.decision == "approved", verdict
    LAYOUTS[layout](drawn, synth.approve(verdict), tmp_path)
    exact = _numbers([m.to_dict() | {"seconds": 0} for m in internal])
    exact |= {m.name for m in internal if not m.name.startswith("validity.")}
    exact |= {str(internal.context["digests"][side]) for side in ("train", "holdout")}
    assert len(exact) > 20
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for file in files:
        content = file.read_bytes()
        if file.suffix == ".parquet":  # which is compressed
            table = pq.read_table(file)
            content += f"{table.schema.metadata} {table.to_pydict()}".encode()
        found = {text for text in exact if text.encode() in content}
        assert not found, (file.name, found)


def _numbers(value: Any) -> set[str]:
    """Every number that is like no other, as JSON writes it."""
    if isinstance(value, dict):
        return set().union(*map(_numbers, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(_numbers, value))
    return {repr(value)} if isinstance(value, float) and len(repr(value)) > 9 else set()


def test_an_exact_figure_that_left_would_be_found(internal: Measurements, drawn: Table) -> None:
    page = synth.report.twin.to_json(internal)
    assert any(text in page for text in _numbers([m.to_dict() for m in internal]))
    assert drawn.is_private


# the public ones ------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(
    "passes real rows, or edited ones, off as drawn under a privacy budget, to be judged by public figures",
    "refused: each row is drawn again from the model and compared",
)
@pytest.mark.parametrize("which", ["real", "edited", "fewer", "unknown", "another's"])
def test_rows_that_the_model_did_not_draw_have_no_public_figures(model: Marginals, drawn: Table, which: str) -> None:
    real = declared(values(1_000))
    other = None if drawn.provenance is None else replace(drawn.provenance, model_digest="0" * 64)
    planted = {
        "real": Table(real.arrow.cast(drawn.arrow.schema), drawn.schema, provenance=drawn.provenance),
        "edited": replace(drawn, arrow=drawn.arrow.take([1, 0, *range(2, 1_000)])),
        "fewer": drawn.head(900),
        "unknown": replace(drawn, provenance=None),
        "another's": replace(drawn, provenance=other),
    }
    with pytest.raises(VerificationError, match=r"not what the model draws|cannot be drawn again|of the model 0000"):
        synth.evaluate_public(model, planted[which])


def test_a_model_without_a_budget_has_no_public_figures() -> None:
    model = synth.Independent().fit(declared(values(300)))
    with pytest.raises(ConfigError, match="without a privacy budget"):
        synth.evaluate_public(model, model.sample_table(10))


def test_from_fit_to_export_on_the_command_line(
    cli: Callable[..., Any], model: Marginals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, policy = _written(declared(values(300)), tmp_path), tmp_path / "exact.yaml"
    policy.write_text(EXACT)
    model.save(tmp_path / "model")
    fake = tmp_path / "fake.parquet"
    assert cli("sample", tmp_path / "model", "-n", 800, "--out", fake).code == 0

    inside = cli("evaluate", "--real", real, "--synthetic", fake, "--out", tmp_path / "inside", "--only", "fidelity.shape")
    assert "INTERNAL These rows were made under a privacy budget" in inside.out
    judged = cli("gate", tmp_path / "inside", "--policy", policy)
    assert judged.code == 3
    assert "INTERNAL" in judged.out
    assert cli("export", tmp_path / "inside", "--to", tmp_path / "no").code == 1

    shown = cli(
        "evaluate", "--public", "--synthetic", fake, "--model", tmp_path / "model", "--out", tmp_path / "public", "--json"
    )
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["context"]["figures"] == "public"
    assert cli("gate", tmp_path / "public", "--policy", "private-release").code == 0
    assert cli("export", tmp_path / "public", "--to", tmp_path / "out").code == 0
    assert cli("verify", tmp_path / "out").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--public", "--synthetic", "fake.parquet", "--out", "x"), "name the model"),
        (("--public", "--synthetic", "fake.parquet", "--model", "m", "--real", "r.csv", "--out", "x"), "leave the others out"),
        (("--synthetic", "fake.parquet", "--out", "x"), "--real is missing"),
    ],
)
def test_public_figures_take_no_real_rows(cli: Callable[..., Any], arguments: tuple[str, ...], words: str) -> None:
    ended = cli("evaluate", *arguments)
    assert ended.code == 2
    assert words in ended.err


def test_internal_figures_are_not_tracked(drawn: Table, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="tracking needs the extra 'mlflow'")
    from synth.tracking import destination, track

    fake = tmp_path / "fake.parquet"
    write_quarantined(drawn, fake)
    done = evaluate_files(_written(declared(values(300)), tmp_path), None, fake, tmp_path / "out", only=["validity.keys"])
    with pytest.raises(ConfigError, match="internal figures"):
        track(done, destination(f"sqlite:///{tmp_path / 'runs.db'}"))
