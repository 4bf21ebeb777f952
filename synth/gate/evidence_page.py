"""What `evidence.html` must say before anybody signs it: headings, what is not claimed, what is asked, and each attack judged.

The page is written by `synth.report.evidence`, from the verdict. This is what every export owes a privacy officer, stated once
more and apart from the page, so that a line taken out of a template, or out of a page before it is signed, is missed here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping

from synth.errors import NotApprovedError
from synth.gate.budget_words import claim
from synth.gate.verdict import Verdict

EVIDENCE = "evidence.html"
HEADINGS = (
    "What was done",
    "The data (ISO/IEC 27559: data assessment)",
    "Privacy budget (NIST SP 800-226)",
    "What is not claimed",
    "What people must answer",
    "Context (ISO/IEC 27559)",
    "Governance (ISO/IEC 27559)",
    "Where each standard is answered",
)
STANDARDS = ("EDPB Opinion 28/2024", "ISO/IEC 27559:2022", "NIST SP 800-226")
NOT_CLAIMED = (
    "That the rows are anonymous in law: this depends on who receives them and on what else those people hold.",
    "That no attack succeeds: those listed were run, at the strength stated; others, and better ones, may come.",
    "That a single row, or a group which no figure names, can be relied upon.",
    "That models or statistics made from these rows treat people fairly: the fairness audit is another judgement.",
)
ASKED = (
    "Who receives the rows, for which purpose, and under which agreement or licence?",
    "What else could recipients hold or buy about the same people, and what would they gain?",
    "Was a data protection impact assessment made, and what did the data protection officer advise?",
    "On which legal basis were the real rows processed to make these?",
    "How are recipients told of a revocation, and how are complaints taken?",
)
RISKS = (  # headings where no budget bounds all attacks
    "What was attacked, and how it went",
    "Singling out: can one person be isolated? (WP29 05/2014)",
    "Linkability: can two records of one person be joined? (WP29 05/2014)",
    "Inference: can a person's value be deduced? (WP29 05/2014)",
    "Membership: can it be told who was in the data? (EDPB 28/2024: personal data obtained from queries)",
    "Extraction: do people's own records come back? (EDPB 28/2024: likelihood of direct extraction)",
)
NO_BUDGET = "No differential privacy is claimed: the rows were made without a budget."
ATTACKS = ("privacy.", "image.copies", "fairness.group_membership", "fairness.group_attribute_inference")

_UNSEEN = re.compile(r"<!--.*?-->|<(style|script|template|title)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)


_HEADING = re.compile(r"<h[1-6]\b[^>]*>(.*?)</h[1-6]\s*>", re.DOTALL | re.IGNORECASE)


def demanded_headings(verdict: Verdict) -> tuple[str, ...]:
    """Every heading that the page of this verdict must have. verdict: as it leaves."""
    return HEADINGS if verdict.context.get("privacy") is not None else (*HEADINGS, *RISKS)


def demanded(verdict: Verdict) -> Iterator[str]:
    """Every line that it must show beside these."""
    yield from (*STANDARDS, *NOT_CLAIMED, *ASKED)
    privacy = verdict.context.get("privacy")
    if privacy is not None:
        yield claim(privacy)
    else:
        yield NO_BUDGET
        yield from (f.check for f in verdict.findings if f.check.startswith(ATTACKS) and f.outcome != "absent")
    for waiver in verdict.waivers:
        yield from (str(waiver["check"]), str(waiver["reason"]))


def check_evidence(documents: Mapping[str, bytes], verdict: Verdict) -> None:
    """Raise NotApprovedError where the page of evidence is not among the documents, or lacks a line that it owes."""
    if EVIDENCE not in documents:
        raise NotApprovedError(
            f"the documents hold no {EVIDENCE}, which every export owes whoever answers for privacy; sign what\n"
            "`synth.approve` and `synth gate` make of the verdict"
        )
    page = _UNSEEN.sub(" ", documents[EVIDENCE].decode("utf-8", errors="replace"))
    headings, shown = {_shown(heading) for heading in _HEADING.findall(page)}, _shown(page)
    missing = [heading for heading in demanded_headings(verdict) if heading not in headings]
    missing += [line for line in demanded(verdict) if _plain(line) not in shown]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise NotApprovedError(
            f"{EVIDENCE} does not say {missing[0][:120]!r}{more}: it was edited, or made by other code than this;\n"
            "judge the rows again, and sign what is made then"
        )


def _shown(page: str) -> str:
    """The text of a page, or a part of it, as a reader sees it: without tags, spaces alike."""
    return _plain(html.unescape(re.sub(r"<[^>]*>", "\n", page)))


def _plain(text: str) -> str:
    return " ".join(text.split())
