"""The page of evidence is owed in every export: without one of its lines nothing is signed, whoever took the line out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from markupsafe import escape

import synth
from synth import approving
from synth.errors import NotApprovedError, VerificationError
from synth.gate.approval import approve
from synth.gate.dsse import opened, seal
from synth.gate.evidence_page import EVIDENCE, HEADINGS, check_evidence, demanded, demanded_headings
from synth.gate.export import export
from synth.gate.keys import default_key, new_key
from synth.gate.leaving import leaving_verdict
from synth.gate.policy import Policy
from synth.gate.verdict import Verdict
from synth.run import Run, evaluate_files
from synth.settling import REQUEST

ATTACKS = (  # of which the page has words of its own for the first alone
    '  - {measure: privacy.membership_knn, limit: 0.6, why: "Members must not be told from strangers."}\n'
    '  - {measure: privacy.home_made, limit: 0.6, severity: warn, why: "An attack that somebody registered."}\n'
)


def judged(made: SimpleNamespace) -> tuple[synth.Table, Verdict]:
    """Rows, and an approved verdict that attacks stand in."""
    table, policy = made.rows(), made.policy.replace("formats:", f"{ATTACKS}formats:")
    items = (*made.good(), made.figure("privacy.membership_knn", 0.51), made.figure("privacy.home_made", 0.2))
    return table, Policy.parse(policy).judge(made.measured(table, items))


def signed(
    made: SimpleNamespace, table: synth.Table, verdict: Verdict, page: Callable[[str], str]
) -> synth.gate.approval.Approval:
    """An approval of documents whose page of evidence was edited before they were signed."""
    documents = dict(made.documents(verdict, table))
    documents[EVIDENCE] = page(documents[EVIDENCE].decode()).encode()
    return approve(verdict, table, by="Ada", key=default_key(), terms=made.terms(), documents=documents)


def test_a_page_that_says_all_it_owes_is_signed_and_leaves(made: SimpleNamespace, tmp_path: Path) -> None:
    table, verdict = judged(made)
    lines = list(demanded(leaving_verdict(verdict, table)))
    assert {"privacy.exact_copies", "privacy.membership_knn", "privacy.home_made"} <= set(lines), "every attack that was judged"
    assert len(lines) > 15
    export(table, signed(made, table, verdict, lambda page: page), tmp_path / "out")
    synth.verify(tmp_path / "out")


@pytest.mark.attack(
    "takes a line out of the page of evidence, or rewords it, before it is signed", "the gate misses it and signs nothing"
)
def test_without_any_one_of_its_lines_nothing_is_signed(made: SimpleNamespace) -> None:
    table, verdict = judged(made)
    said = leaving_verdict(verdict, table)
    for line in dict.fromkeys((*demanded_headings(said), *demanded(said))):

        def without(page: str, line: str = line) -> str:
            written = str(escape(line))
            assert written in page or line in page, line
            return page.replace(written, "…").replace(line, "…")

        with pytest.raises(NotApprovedError, match=r"evidence\.html does not say"):
            signed(made, table, verdict, without)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("No differential privacy is claimed", "Differential privacy is claimed"),
        ("That no attack succeeds", "No attack succeeds"),
        ('<h2 id="not-claimed">What is not claimed</h2>', "<!-- What is not claimed -->"),
        ("On which legal basis were the real rows processed to make these?", "Legal basis: settled."),
        ("privacy.membership_knn", "privacy.membership"),
    ],
)
def test_a_line_that_was_reworded_or_hidden_is_missed(old: str, new: str, made: SimpleNamespace) -> None:
    table, verdict = judged(made)

    def edited(page: str) -> str:
        assert old in page
        return page.replace(old, new)

    with pytest.raises(NotApprovedError, match=r"evidence\.html does not say"):
        signed(made, table, verdict, edited)


def test_documents_without_the_page_are_not_signed(made: SimpleNamespace) -> None:
    table, verdict = judged(made)
    documents = {name: content for name, content in made.documents(verdict, table).items() if name != EVIDENCE}
    with pytest.raises(NotApprovedError, match=r"hold no evidence\.html"):
        approve(verdict, table, by="Ada", key=default_key(), terms=made.terms(), documents=documents)


def test_a_template_that_lost_a_heading_lets_nothing_out(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    _, verdict = judged(made)
    whole = approving.render_evidence
    for heading in HEADINGS:
        monkeypatch.setattr(approving, "render_evidence", lambda *a, heading=heading, **k: whole(*a, **k).replace(heading, ""))
        with pytest.raises(NotApprovedError, match=r"evidence\.html does not say"):
            synth.approve(verdict)
    monkeypatch.undo()
    assert not synth.approve(verdict).missing


def test_under_a_budget_the_claim_is_owed_in_place_of_attacks(made: SimpleNamespace) -> None:
    _, verdict = judged(made)
    spent = {"epsilon": 1.0, "delta": 1e-6, "unit": "row", "rows_per_subject": 1, "dataset": "people"}
    private = SimpleNamespace(context={"privacy": spent}, findings=verdict.findings, waivers=())
    lines = list(demanded(private))  # type: ignore[arg-type]
    assert any(line.startswith("Differential privacy with ε = 1 and δ = 1e-06") for line in lines)
    assert not [line for line in lines if line.startswith("privacy.")]
    page = "".join([*(f"<h2>{heading}</h2>" for heading in HEADINGS), *(f"<p>{line}</p>" for line in lines)])
    check_evidence({EVIDENCE: page.encode()}, private)  # type: ignore[arg-type]
    with pytest.raises(NotApprovedError, match="Differential privacy with"):
        check_evidence({EVIDENCE: page.replace("ε = 1 ", "ε = 0.1 ").encode()}, private)  # type: ignore[arg-type]


def test_people_are_not_asked_to_sign_another_page_than_the_verdicts(tmp_path: Path) -> None:
    """A request under this machine's own key, for a page without its caveats: it is not what would be asked now."""
    for name, shift in (("real", 0), ("held", 1), ("fake", 2)):
        lines = [f"{18 + (7 * i + shift) % 50},{'fm'[(i * i + shift) % 2]}" for i in range(120)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["age,sex", *lines]) + "\n")
    evaluate_files(tmp_path / "real.csv", tmp_path / "held.csv", tmp_path / "fake.csv", tmp_path / "run")
    policy = tmp_path / "people.yaml"
    policy.write_text(
        "name: people\nversion: 1.0.0\ntitle: A person signs\ndescription: For a test.\nrequires: {holdout: true}\n"
        "approvers: 1\n"
        'checks:\n  - {measure: validity.schema, limit: 0, why: "Broken cells were never checked."}\n'
    )
    run = Run.open(tmp_path / "run")
    assert run.judge(Policy.load(policy)).decision == "approved"
    asked, ada = run.path / REQUEST, new_key("ada")
    statement = json.loads(opened(asked.read_bytes())[0])
    (entry,) = [subject for subject in statement["subject"] if subject["name"] == EVIDENCE]
    entry["digest"]["sha256"] = "0" * 64
    sound = asked.read_bytes()
    asked.write_bytes(seal(statement, default_key()))
    with pytest.raises(VerificationError, match="asks for a signature under something else"):
        Run.open(run.path).approve(ada, by="Ada")
    asked.write_bytes(sound)
    assert not Run.open(run.path).approve(ada, by="Ada").missing
