"""The evidence pack: what a privacy officer asks of a table that leaves, answered from the verdict that leaves with it.

The questions are those of EDPB Opinion 28/2024 and of the Article 29 Working Party's Opinion 05/2014 (singling out,
linkability, inference), of ISO/IEC 27559:2022 (context, data, identifiability, governance) and of NIST SP 800-226
(differential privacy). Nothing here is computed anew: every figure stands in verdict.json. What only people can answer is
asked, not filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.report import words
from synth.report.layout import page

ATTACKS: Mapping[str, tuple[str, str, str]] = {  # by measure: the risk, what the attacker holds, what he tries
    "privacy.identifier_copies": ("extraction", "the synthetic rows", "finds names, addresses and keys of real people in them"),
    "privacy.exact_copies": ("extraction", "the synthetic rows", "finds rows that are a training row, cell by cell"),
    "privacy.unique_copies": ("extraction", "the synthetic rows", "finds rows that only one person had"),
    "privacy.near_copies": ("extraction", "the synthetic rows", "finds rows that are a training row with a little noise"),
    "privacy.memorised": ("extraction", "the synthetic rows", "finds rows far closer to one person than to any stranger"),
    "privacy.memorised_parts": ("extraction", "the synthetic rows", "finds most cells of one person in a row"),
    "privacy.rare_combinations": ("extraction", "the synthetic rows", "finds combinations of values that one person alone had"),
    "image.copies": ("extraction", "the synthetic images", "finds images that are a training image, or nearly"),
    "privacy.dcr": ("extraction", "the synthetic rows", "measures whether rows lie nearer to training rows than to strangers"),
    "privacy.nndr": ("extraction", "the synthetic rows", "measures whether rows single out one training row among all"),
    "privacy.membership_auc": (
        "membership",
        "a person's whole row",
        "tells whether it was trained on; the strongest of several attacks",
    ),
    "privacy.membership_tpr": ("membership", "a person's whole row", "names members, wrong about one outsider in a hundred"),
    "privacy.membership_tpr_low": (
        "membership",
        "a person's whole row",
        "names members, wrong about one outsider in a thousand",
    ),
    "privacy.shadow": ("membership", "the method, and much data like it", "finds the most exposed people by models of his own"),
    "privacy.attribute_inference": ("inference", "all of a person's row but one value", "guesses the sensitive value"),
    "privacy.linkability": ("linkability", "two parts of a person's row, from two sources", "joins them by the synthetic rows"),
    "privacy.singling_out_univariate": ("singling out", "the synthetic rows", "states a value that exactly one person has"),
    "privacy.singling_out_multivariate": (
        "singling out",
        "the synthetic rows",
        "states several values that exactly one person has",
    ),
    "fairness.group_membership": ("membership", "a person's whole row", "finds members of one group more easily than others"),
    "fairness.group_attribute_inference": (
        "inference",
        "all of a person's row but one value",
        "guesses the value of one group's members",
    ),
}
RISKS: Mapping[str, str] = {  # in the order of the page; how the opinions call each
    "singling out": "Singling out: can one person be isolated? (WP29 05/2014)",
    "linkability": "Linkability: can two records of one person be joined? (WP29 05/2014)",
    "inference": "Inference: can a person's value be deduced? (WP29 05/2014)",
    "membership": "Membership: can it be told who was in the data? (EDPB 28/2024: personal data obtained from queries)",
    "extraction": "Extraction: do people's own records come back? (EDPB 28/2024: likelihood of direct extraction)",
}
NOT_CLAIMED = (
    "That the rows are anonymous in law: this depends on who receives them and on what else those people hold.",
    "That no attack succeeds: those listed were run, at the strength stated; others, and better ones, may come.",
    "That a single row, or a group which no figure names, can be relied upon.",
    "That models or statistics made from these rows treat people fairly: the fairness audit is another judgement.",
)
ASKED = {  # what ISO/IEC 27559 and the EDPB's opinion want to know, and no figure can say
    "Context": (
        "Who receives the rows, for which purpose, and under which agreement or licence?",
        "What else could recipients hold or buy about the same people, and what would they gain?",
        "Was a data protection impact assessment made, and what did the data protection officer advise?",
    ),
    "Governance": (
        "Who answers for this release, and who reviews it when it ends (see \u201cholds\u201d above)?",
        "On which legal basis were the real rows processed to make these?",
        "How are recipients told of a revocation, and how are complaints taken?",
    ),
}


@dataclass(frozen=True)
class Line:
    """One attack: what is held, what is tried, and how it went."""

    held: str
    tried: str
    check: str
    figure: str
    interval: str
    beside: str
    limit: str
    outcome: str


def render_evidence(
    verdict: Any,
    *,
    title: str,
    facts: Mapping[str, str],
    columns: Sequence[tuple[str, str, str]],
    claim: str = "",
    budget: Sequence[tuple[str, str]] = (),
    answers: Sequence[tuple[str, str]] = (),
    whose: str = "real rows",
) -> str:
    """One self-contained HTML page, made from what leaves alone; the same arguments give the same bytes.

    verdict: as it leaves, so that its findings name nothing that only a real row had. facts: what the approval says of itself
    and how the rows were made. columns: name, kind and role of each. claim, budget, answers: of a privacy budget, if there is
    one. whose: what a figure's reference is.
    """
    lines = _attacks(verdict)
    headline, says = words.DECISIONS.get(verdict.decision, (verdict.decision, ""))
    return page(
        "evidence.html.jinja",
        title=title,
        headline=headline,
        pictures=False,
        decision=verdict.decision,
        says=says,
        summary=_summary(verdict, lines, claim),
        facts=facts,
        columns=columns,
        risks=[(risk, said, lines.get(risk, ())) for risk, said in RISKS.items()],
        tried=sum(map(len, lines.values())),
        use=[
            _line(f, "", "") for f in verdict.findings if f.check.startswith(("fidelity.", "utility.")) and f.score is not None
        ],
        waivers=verdict.waivers,
        claim=claim,
        budget=budget,
        answers=answers,
        whose=whose,
        not_claimed=NOT_CLAIMED,
        asked=ASKED,
    )


def _attacks(verdict: Any) -> dict[str, list[Line]]:
    """The attacks that the policy judged, by risk."""
    found: dict[str, list[Line]] = {}
    for finding in verdict.findings:
        known = _attack(finding.check.split("[", 1)[0])
        if known is not None and finding.outcome != "absent":
            found.setdefault(known[0], []).append(_line(finding, known[1], known[2]))
    return found


def _attack(measure: str) -> tuple[str, str, str] | None:
    """The risk, what the attacker holds and what he tries. An attack that this page has no words for is shown all the same."""
    if measure in ATTACKS or not measure.startswith("privacy."):
        return ATTACKS.get(measure)
    if measure.startswith("privacy.membership_"):
        return ("membership", "a person's whole row", "tells whether it was trained on; one of several attacks")
    return ("extraction", "the synthetic rows", "tries what the metric of this name describes")


def _line(finding: Any, held: str, tried: str) -> Line:
    name = finding.check.split("[", 1)[0]
    outcome = f"{finding.outcome}, waived" if finding.waiver is not None else finding.outcome
    limit = "" if finding.limit is None else words.number(finding.limit, name)
    return Line(
        held=held,
        tried=tried,
        check=finding.check,
        figure="not measured" if finding.score is None else words.number(finding.score, name),
        interval=_interval(finding, name),
        beside="" if finding.reference is None else words.number(finding.reference, name),
        limit=f"{limit} more than these" if limit and finding.over_reference else limit,
        outcome=outcome,
    )


def _interval(finding: Any, name: str) -> str:
    """Of what was judged: the figure, or its excess over what stands beside it."""
    if finding.value is None or finding.low is None or finding.high is None:
        return ""
    sign = "+" if finding.over_reference else ""
    ends = (f"{sign if end >= 0 else ''}{words.number(end, name)}" for end in (finding.low, finding.high))
    return f"[{', '.join(ends)}]"


def _summary(verdict: Any, lines: Mapping[str, Sequence[Line]], claim: str) -> str:
    """What was looked at and how it went, in two sentences."""
    all_lines = [line for found in lines.values() for line in found]
    judged = [line for line in all_lines if line.outcome != "report"]
    passed = sum(line.outcome == "pass" for line in judged)
    attacked = f"{len(judged)} figures of attacks on privacy were judged, and {passed} kept the policy's limits."
    if claim:
        return f"{claim}. The rows were made from noisy counts alone, so no attack on real rows stands behind this verdict."
    let_go = len(verdict.waivers)
    return attacked + (f" {let_go} check{' was' if let_go == 1 else 's were'} waived by people named below." if let_go else "")
