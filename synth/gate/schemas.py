"""The published forms of a policy and of a verdict, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

import json
from typing import Any, get_args

from synth.gate.policy import Policy
from synth.gate.rules import Format
from synth.gate.verdict import Counted, Decision, Outcome, Profile, Severity

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def policy() -> dict[str, Any]:
    """The form of a policy file. Its version is that of the packaged policies: a key that goes makes the next major one."""
    return {"$schema": DRAFT, "$id": "urn:synth:schema:policy:3", **Policy.model_json_schema(mode="validation")}


def verdict() -> dict[str, Any]:
    """The form of verdict.json. A program that reads version 1 may rely on every field described here; more may be added."""
    return {
        "$schema": DRAFT,
        "$id": "urn:synth:schema:verdict:1",
        "title": "A verdict on a synthetic table",
        "description": "What a policy says of the figures of one synthetic table, finding by finding. The decision follows "
        "from them. One that blocks and is a fail, or a doubt whose meaning is rejected, rejects; else one that blocks, or "
        "none that passed, leaves it inconclusive. A finding blocks if its severity is block, it is not waived, and it is a "
        "fail or a doubt (inconclusive, missing, error, skipped) that is not merely noted.",
        "type": "object",
        "required": ["decision", "policy", "formats", "attempt", "refused_waivers", "findings", "context"],
        "properties": {
            "decision": _one_of(Decision, "What may be signed is approved."),
            "policy": _policy(),
            "formats": {
                "type": "array",
                "items": {"enum": list(get_args(Format))},
                "description": "What approved rows may leave in.",
            },
            "attempt": {
                "description": "Which try this was in the log of attempts of the machine that judged; null: it was not logged, "
                "and cannot be signed.",
                "anyOf": [{"$ref": "#/$defs/attempt"}, {"type": "null"}],
            },
            "refused_waivers": _texts("Waivers that were given and do not count, each with the reason."),
            "findings": {"type": "array", "items": {"$ref": "#/$defs/finding"}},
            "context": {
                "type": "object",
                "required": ["rows", "digests"],
                "description": "What the figures were taken on, as in measurements.json.",
            },
        },
        "$defs": {"finding": _finding(), "waiver": _waiver(), "attempt": _attempt()},
    }


def text(schema: dict[str, Any]) -> str:
    """A schema as the file that is published under docs/schemas/."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _policy() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "version", "digest", "profile"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
            "digest": {**SHA256, "description": "SHA-256 of the policy as canonical JSON, which leaves as policy.json."},
            "profile": _one_of(Profile, "Who may see the rows."),
        },
    }


def _finding() -> dict[str, Any]:
    figures = {
        "value": "What was compared with the limit: the figure, or its excess over what real rows score.",
        "low": "The lower end of its 95% interval.",
        "high": "The upper end of its 95% interval.",
        "limit": "What the policy asks for.",
        "bound": "The end of the interval that had to keep the limit, at the rule's confidence; null for an alarm.",
        "score": "The figure itself.",
        "reference": "What real rows score in its place.",
    }
    texts = {
        "check": "The metric, with its group or columns in brackets.",
        "message": "What was found, in words.",
        "why": "Why the policy asks.",
    }
    return {
        "type": "object",
        "required": ["check", "outcome", "severity", "message", "why", *figures, "over_reference", "meaning", "waiver"],
        "properties": {
            **{name: {"type": "string", "description": about} for name, about in texts.items()},
            "outcome": _one_of(Outcome, "What the rule says; only pass is a pass."),
            "severity": _one_of(Severity, "Whether the rule blocks, warns or only reports."),
            **{name: {"type": ["number", "null"], "description": about} for name, about in figures.items()},
            "over_reference": {
                "type": "boolean",
                "description": "Whether value and limit are in excess of what real rows score.",
            },
            "meaning": {
                "enum": [*get_args(Counted), None],
                "description": "What a doubt comes to under the policy; null for what is none.",
            },
            "waiver": {
                "description": "The waiver that lets it go; null for none.",
                "anyOf": [{"$ref": "#/$defs/waiver"}, {"type": "null"}],
            },
        },
    }


def _waiver() -> dict[str, Any]:
    texts = {
        "check": "What it is about: a finding's check, or a metric for all of its groups.",
        "owner": "Who answers for what follows.",
        "reason": "Why, in their words.",
        "approver": "Who signed it.",
        "issued": "From when on it counts: ISO 8601, UTC.",
        "expires": "From when on it no longer counts, at most 90 days later.",
    }
    digests = {"keyid": "With which key.", "synthetic": "Of which rows.", "policy_digest": "Of which policy."}
    return {
        "type": "object",
        "required": [*texts, *digests],
        "properties": {
            **{name: {"type": "string", "description": about} for name, about in texts.items()},
            **{name: {**SHA256, "description": about} for name, about in digests.items()},
        },
    }


def _attempt() -> dict[str, Any]:
    number = {"type": "integer", "minimum": 1}
    return {
        "type": "object",
        "required": ["number", "total"],
        "properties": {
            "number": {**number, "description": "Of this data under this policy's name."},
            "total": {**number, "description": "Of this data under any policy."},
        },
    }


def _one_of(literal: Any, about: str) -> dict[str, Any]:
    return {"enum": list(get_args(literal)), "description": about}


def _texts(about: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": about}
