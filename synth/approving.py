"""Approval and export: what signs a verdict, and what an export folder holds beside its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import synth
from synth.data.frames import as_table
from synth.data.quarantine import sign_beside, write_quarantined
from synth.data.table import Table
from synth.errors import InputError, NotApprovedError
from synth.gate import approval as gate_approval
from synth.gate import budget_words, card
from synth.gate import export as gate_export
from synth.gate.approval import Approval
from synth.gate.croissant import croissant
from synth.gate.keys import PrivateKey, Signer, default_key, signer_of
from synth.gate.leaving import leaving_rows, leaving_verdict
from synth.gate.lineage import openlineage, prov
from synth.gate.policy import Policy
from synth.gate.provenance import PROVENANCE, provenance
from synth.gate.released import Release
from synth.gate.terms import Terms, now, until
from synth.gate.verdict import Verdict
from synth.metrics.measurement import FIGURES, Measurements
from synth.metrics.measurement import PUBLIC as PUBLIC_FIGURES
from synth.metrics.released import PUBLIC
from synth.report.evidence import render_evidence
from synth.report.page import render

Notice = Callable[[str], None]

REAL_CELLS = (
    "these rows hold real cells, filled in by `impute`: they are real data, and no approval can cover them;\n"
    "draw synthetic rows with `sample`"
)


SEEDED_NOISE = (
    "these rows are of a model whose noise came from a seed, as in a test: who knows it can take the noise off again;\n"
    "fit once more without noise_seed, and draw from that model"
)


INTERNAL = (
    "these rows were made under a privacy budget, and exact figures on real rows are outside of it: they never leave, nor\n"
    "does an approval that rests on them; measure what may leave with `synth evaluate --public --model MODEL`, and judge that\n"
    "under private-release"
)


def approve(
    verdict: Verdict,
    *,
    by: str | None = None,
    key: Signer | str | Path | None = None,
    notice: Notice = lambda text: None,
) -> Approval:
    """Sign a verdict that a policy approved: the exact bytes of every file that an export will hold.

    verdict: from `Policy.judge`, on measurements that still hold their synthetic table.
    by: who approves, in words; by default the policy is named, or the keys where people must sign.
    key: who signs: a private key's file, `env:NAME`, or a `Signer`; by default this machine's own key, made on first use
    (`notice` is told where it lies). Where the policy, a waiver or the number of attempts demands people, it must be
    somebody's own, and `Approval.signed` adds the others.
    Raises NotApprovedError for a verdict that is not an approval and for a key that may not sign it, InputError for what is
    not a verdict.
    """
    rows, terms, machine = _asked(verdict, persons_needed, notice)
    signer: Signer = machine if key is None else signer_of(key)
    return gate_approval.approve(
        verdict,
        rows,
        by=by or in_words(verdict, terms),
        key=signer,
        documents=documents(verdict, _measured(verdict), rows, terms=terms, by=by or in_words(verdict, terms)),
        terms=terms,
    )


def request(verdict: Verdict, *, persons: int, notice: Notice = lambda text: None) -> Approval:
    """What so many people are asked to sign, under this machine's own signature; it lets nothing out. Raises like `approve`."""
    rows, terms, machine = _asked(verdict, lambda verdict: persons, notice)
    by = in_words(verdict, terms)
    given = documents(verdict, _measured(verdict), rows, terms=terms, by=by)
    return gate_approval.request(verdict, rows, by=by, key=machine, documents=given, terms=terms)


def _asked(verdict: Verdict, how_many: Callable[[Verdict], int], notice: Notice) -> tuple[Table, Terms, PrivateKey]:
    """The rows that are to be approved, from now on and under the policy's terms, and this machine's key, which asks for it."""
    if not isinstance(verdict, Verdict):
        raise InputError(
            f"a {type(verdict).__name__} cannot be approved; give a Verdict: synth.Policy.load(name).judge(measurements)"
        )
    rows, machine = _measured(verdict).synthetic, default_key(notice=notice)
    assert rows is not None
    policy, persons = policy_of(verdict), how_many(verdict)
    begins = now()
    ends = min([begins + timedelta(days=policy.approvers.days), *(until(waiver) for waiver in verdict.waivers)])
    apart = persons > 0 and policy.approvers.separate
    terms = Terms(
        requested_by=f"synth {synth.__version__} under policy {verdict.policy}",
        requester=machine.keyid if apart or not persons else "",
        at=begins.isoformat(),
        expires=ends.isoformat(),
        signers=max(1, persons),
        automatic=not persons,
    )
    return rows, terms, machine


def _measured(verdict: Verdict) -> Measurements:
    if verdict.measurements is None or verdict.measurements.synthetic is None:
        raise NotApprovedError(
            "this verdict no longer holds the table that it judged; judge the measurements of `synth.evaluate`, or open its run"
        )
    return verdict.measurements


def policy_of(verdict: Verdict) -> Policy:
    """The policy that a verdict was made under. Raises NotApprovedError where it is not at hand, or was edited since."""
    if verdict.rules is None or hashlib.sha256(verdict.rules).hexdigest() != verdict.policy_digest:
        raise NotApprovedError(
            f"the rules that this verdict was made under ({verdict.policy} {verdict.policy_version}) are not at hand, or were\n"
            "edited since; judge the measurements again"
        )
    return Policy.model_validate_json(verdict.rules)


def persons_needed(verdict: Verdict) -> int:
    """How many people must sign: 0 where the policy lets this machine's key sign alone."""
    return policy_of(verdict).persons_needed(verdict)


def in_words(verdict: Verdict, terms: Terms) -> str:
    """Who approves, where nobody was named."""
    if terms.automatic:
        return f"synth {synth.__version__}, by policy {verdict.policy} alone"
    return "whose key signed" if terms.signers == 1 else f"the {terms.signers} people whose keys signed"


def documents(verdict: Verdict, measured: Measurements, synthetic: Table, *, terms: Terms, by: str) -> dict[str, bytes]:
    """What an export holds beside its rows, for each layout that the policy allows: the same arguments give the same bytes.

    A document that differs with the layout has the layout before its name, `csv/README.md`; that of Parquet has none.
    terms: whose `at` is the only clock in any of them. by: who approves, in words.
    Raises NotApprovedError for rows that hold real cells, for those of a model with seeded noise, and where the policy's own
    words are not at hand.
    """
    if synthetic.mark == "real":
        raise NotApprovedError(REAL_CELLS)
    if synthetic.provenance is not None and synthetic.provenance.noise_known:
        raise NotApprovedError(SEEDED_NOISE)
    _check_figures(verdict, measured, synthetic)
    policy_of(verdict)
    said, rows = leaving_verdict(verdict, synthetic), leaving_rows(synthetic)
    first = Release(said, rows, terms, by, verdict.formats[0])
    page = render(
        measured, verdict, synthetic=synthetic, title=f"Synthetic data: {verdict.policy}", public=True, approval=first.words,
        waivers=said.waivers,
    )  # fmt: skip
    found = {
        "verdict.json": said.to_bytes(),
        "policy.json": verdict.rules or b"",
        "report.html": page.encode(),
        "evidence.html": _evidence(first).encode(),
        PROVENANCE: provenance(synthetic, verdict.attempt),
    }
    for layout in verdict.formats:
        release = replace(first, layout=layout)
        own = {
            "README.md": card.readme(release),
            "croissant.json": croissant(release),
            "prov.json": prov(release),
            "openlineage.json": openlineage(release),
        }
        found |= {name if layout == "parquet" else f"{layout}/{name}": content for name, content in own.items()}
    return found


def _evidence(release: Release) -> str:
    """The page for whoever answers for privacy."""
    privacy, origin = release.privacy, release.origin
    made = {} if origin is None else {"made by": f"{origin.generator} of {release.made_by}"}
    condition = {"under the condition": str(origin.where)} if origin is not None and origin.where else {}
    return render_evidence(
        release.verdict,
        title=release.title,
        facts={"rows": f"{len(release.rows):,}", **made, **condition, **release.words},
        columns=[(c.name, str(c.kind), "issued anew" if c.is_reissued else str(c.role)) for c in release.rows.schema.columns],
        claim="" if privacy is None else budget_words.claim(privacy),
        budget=() if privacy is None else budget_words.facts(privacy),
        answers=() if privacy is None else budget_words.answers(privacy),
        whose="real rows" if privacy is None else "what noise alone explains",
    )


def _check_figures(verdict: Verdict, measured: Measurements, synthetic: Table) -> None:
    """Raise NotApprovedError where rows made under a privacy budget would leave with a figure that was not paid for."""
    private = synthetic.is_private or FIGURES in measured.context or "privacy" in measured.context
    if not private:
        return
    told = {name for side in ("rows", "digests") for name, of in measured.context[side].items() if of is not None}
    strange = {m.name for m in measured} - set(PUBLIC)
    if measured.context.get(FIGURES) != PUBLIC_FIGURES or told & {"train", "holdout"} or strange:
        raise NotApprovedError(INTERNAL)
    asked = {finding.check.split("[", 1)[0] for finding in verdict.findings if finding.score is not None} - set(PUBLIC)
    if asked:
        raise NotApprovedError(INTERNAL)


def export(synthetic: Any, approval: Approval, to: str | Path, *, formats: Iterable[str] | None = None) -> Path:
    """Write approved rows, their documents and the signature to a folder; whole or not at all.

    formats: Parquet, CSV and Arrow may stand together; `huggingface` goes alone, and `sql` to a database with `to_sql`.
    Raises NotApprovedError where the approval is none, does not hold today, or is not for exactly these rows.
    """
    return gate_export.export(*_approved(synthetic, approval), to, formats=formats)


def to_csv(rows: Any, path: str | Path, *, approval: Approval | None = None) -> Path:
    """Write approved rows as one CSV file, and the signatures beside it as NAME.attestation.json. Raises as `export` does."""
    return gate_export.export_file(*_approved(rows, approval), path, form="csv")


def to_hf(rows: Any, folder: str | Path, *, approval: Approval | None = None) -> Path:
    """Write approved rows as a folder for the Hugging Face hub: README.md and data/train-*.parquet. Raises as `export` does."""
    return gate_export.export(*_approved(rows, approval), folder, formats=("huggingface",))


def to_sql(rows: Any, url: str, table: str | None = None, *, approval: Approval | None = None) -> str:
    """Write approved rows as a new table of a database, with NAME_synth beside it; whole or not at all. Returns where it is.

    url: of SQLAlchemy (extra `sql`), in which the table may be named as ?table=NAME.
    Raises as `export` does, and DataError where a table of that name is there: nothing is overwritten.
    """
    return gate_export.export_table(*_approved(rows, approval), url, table)


def _approved(rows: Any, approval: Any) -> tuple[Table, Approval]:
    """The rows and what lets them leave. Raises NotApprovedError that says why nothing does."""
    table = as_table(rows)
    if table.mark == "real":
        raise NotApprovedError(REAL_CELLS)
    if isinstance(approval, Approval):
        return table, approval
    given = "none" if approval is None else f"a {type(approval).__name__}"
    if table.is_synthetic:
        raise NotApprovedError(
            f"these {len(table):,} synthetic rows are quarantined: they leave with an Approval, and this is {given};\n"
            "measure and judge them, then sign the verdict: synth.approve(verdict)"
        )
    raise NotApprovedError(
        f"rows leave with an Approval, and this is {given}: sign a verdict with synth.approve(verdict).\n"
        "Nothing says that these rows are synthetic, and for a real table there is no approval"
    )


def quarantine(synthetic: Table, folder: Path) -> None:
    """Keep synthetic rows in a run folder, marked as not approved in their own metadata and by a file beside them."""
    write_quarantined(synthetic, folder / "synthetic.parquet")
    sign_beside(folder / "synthetic.parquet")
