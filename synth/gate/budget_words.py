"""What an export says of its privacy budget: the claim, who stands for it, and NIST SP 800-226's questions, answered.

NIST SP 800-226, "Guidelines for Evaluating Differential Privacy Guarantees" (2025), names what makes a claim worth something.
Nothing here was read off a real row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def claim(privacy: Mapping[str, Any]) -> str:
    """The claim in one sentence."""
    unit = "row" if privacy["unit"] == "row" else f"subject with at most {privacy['rows_per_subject']} rows"
    return (
        f"Differential privacy with ε = {privacy['epsilon']:g} and δ = {privacy['delta']:g} for each {unit} of the data set "
        f"{privacy['dataset']}, added or removed"
    )


def privacy_part(privacy: Mapping[str, Any]) -> str:
    """The section of the data card."""
    rows = "\n".join(f"| {name} | {said} |" for name, said in facts(privacy))
    questions = "\n".join(f"| {asked} | {answer} |" for asked, answer in answers(privacy))
    return f"""
## Differential privacy

{claim(privacy)}.

| | |
|---|---|
{rows}

What a claim is worth, by the questions of NIST SP 800-226:

| question | answer |
|---|---|
{questions}
"""


def facts(privacy: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was spent, how, and on what: a name and what is said of it."""
    noise = "drawn from the operating system's entropy; nobody can draw it again" if privacy["secure"] else "SEEDED: for tests"
    return [
        ("mechanism", str(privacy["mechanism"])),
        ("cost", _cost(privacy)),
        ("noise", noise),
        ("judged by", str(privacy.get("judged_by") or "the noisy counts that were learned from")),
        ("ledger", f"entry {privacy['entry']}, SHA-256 `{privacy['entry_digest']}`"),
        ("declared to be public", _columns(privacy["declared"])),
        ("bought out of the budget", _columns(privacy["bought"])),
    ]


def _cost(privacy: Mapping[str, Any]) -> str:
    counts = f"{privacy['micro_rho']:,} millionths of ρ (zero-concentrated differential privacy), rounded up"
    return f"{counts}, for counts; noisy steps of training for the rest (Rényi)" if privacy.get("gradients") else counts


def _columns(facts: Mapping[str, Any]) -> str:
    said = [f"{_plain(name)} ({', '.join(known)})" for name, known in sorted(facts.items()) if known]
    return "; ".join(said) or "nothing"


def _plain(text: str) -> str:
    return " ".join(text.replace("<", "&lt;").replace("`", "'").replace("|", "\\|").split())


def _drawn(privacy: Mapping[str, Any]) -> str:
    counts = "as whole numbers, exactly, by OpenDP; no rounding of floating-point noise tells of a value"
    if not privacy.get("gradients"):
        return counts
    return f"of counts {counts}; of gradients from 53 random bits each, and rounded with them to a coarse grid"


def answers(privacy: Mapping[str, Any]) -> list[tuple[str, str]]:
    """NIST SP 800-226's questions, each with its answer."""
    subject = privacy["unit"] == "subject"
    return [
        (
            "How strong is it?",
            f"ε = {privacy['epsilon']:g}: no conclusion about one unit grows likelier by more than that factor e^ε",
        ),
        ("With what chance may it fail?", f"δ = {privacy['delta']:g}"),
        (
            "Whom does it protect?",
            f"a subject, all of its rows together, of which {privacy['rows_per_subject']} count at most"
            if subject
            else "a single row; whoever has several is protected less, by as many times ε",
        ),
        ("Against whom?", "whoever receives the rows and these files, with any knowledge and any computer"),
        ("Whom must one trust?", "the house that holds the rows and ran the fit (the central model)"),
        ("What bounds a unit's weight?", "declared bounds and categories: what lies beyond counts as the nearest, or as null"),
        ("How is noise drawn?", _drawn(privacy)),
        (
            "What else was spent on these people?",
            "the ledger of that machine adds all up, up to a cap; other machines' are not in it",
        ),
        (
            "Were exact figures on real rows computed for it?",
            "none is in these files or behind their approval: it was judged on noisy counts that were paid for",
        ),
        ("Does utility differ between groups?", "yes, as noise is the same for all: small groups come out worst"),
        ("What is not covered?", "how long the fit took, what its operator saw, and whatever else is known of the same people"),
    ]
