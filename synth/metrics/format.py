"""The form of `measurements.json`: its version, its JSON Schema, and the refusal of a file of another form."""

from __future__ import annotations

import json
from typing import Any, get_args

from synth.data.sketch import SIZE, SKETCH
from synth.metrics.measurement import FIGURES, FORMAT, INTERNAL, PUBLIC, Better, Status
from synth.metrics.registry import FAMILIES

MAJOR = FORMAT.rsplit("/", 1)[1]
URN = f"urn:synth:schema:measurements:{MAJOR}"
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ROWS = {"type": "integer", "minimum": 0}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `Measurements.to_dict()` and of every measurements.json.

    A program that reads version 1 may rely on every field described here. Fields may be added under `context` and `detail`
    without another version; a field that goes, or means something else, makes the next one.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": URN,
        "title": "Measurements of a synthetic table",
        "description": "Every figure about one synthetic table, each with its interval and what real rows score in its place. "
        "All numbers are finite; shares and rates are fractions, never percent.",
        "type": "object",
        "required": ["format", "context", "measurements"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": FORMAT, "description": "The name of this form and its major version."},
            "context": _context(),
            "measurements": {
                "type": "array",
                "items": {"$ref": "#/$defs/measurement"},
                "description": "The figures, by family; a metric of groups or columns has one for each.",
            },
        },
        "$defs": {"measurement": _measurement(), "interval": _interval(), "sides": _sides()},
    }


def text() -> str:
    """The schema as the file that is published: docs/schemas/measurements.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _context() -> dict[str, Any]:
    provenance = {
        "generator": _of("string", "The method that made the rows: a name that `synth generators` lists."),
        "model_digest": {**SHA256, "description": "SHA-256 of the fitted model."},
        "seed": _of("integer", "The seed that the rows were drawn with."),
        "rows": {**ROWS, "description": "How many rows were drawn."},
        "where": {
            "description": "The condition that every row satisfies, in words; null for none.",
            "type": ["string", "null"],
        },
    }
    conditioned = {
        "acceptance": _of("number", "With a condition: rows kept, of those that the generator began."),
        "private": _of("boolean", "True where the model was fitted under a privacy budget."),
        "effective_rows": _of("number", "With a condition: as many independent rows as these are worth (Kish)."),
        "parts": {
            "description": "Of a sample of several parts: the rows of each in turn, and the condition that they satisfy.",
            "type": "array",
            "items": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": ["string", "null"]}]},
        },
    }
    digests = {"schema": {**SHA256, "description": "SHA-256 of the training table's schema."}}
    return {
        "type": "object",
        "description": "What the figures were taken on.",
        "required": ["rows", "digests", "target", "sensitive", "seed", "synth"],
        "properties": {
            "rows": {
                "$ref": "#/$defs/sides",
                "description": "How many rows each table has; null where there is no such table.",
                "additionalProperties": {"type": ["integer", "null"], "minimum": 0},
            },
            "digests": {
                "$ref": "#/$defs/sides",
                "description": "SHA-256 of each table's rows, and of the schema.",
                "properties": digests,
                "required": ["schema"],
                "additionalProperties": {"anyOf": [SHA256, {"type": "null"}]},
            },
            "target": {"type": ["string", "null"], "description": "The column that models are trained to predict."},
            "sensitive": {"type": "array", "items": {"type": "string"}, "description": "The sensitive columns."},
            "seed": {**ROWS, "description": "The seed of everything that the metrics draw at random."},
            "synth": _of("string", "The version of synth that measured."),
            SKETCH: {
                "type": "array",
                "items": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                "minItems": 1,
                "maxItems": SIZE,
                "description": "The least 64-bit numbers of the real rows, training and holdout: whether jobs are about the "
                "same data. They name rows: they are not in the report's twin, and leave with nothing.",
            },
            "repeats": {"type": "array", "items": SHA256, "description": "SHA-256 of the table of each further fit, if any."},
            "model": {**SHA256, "description": "SHA-256 of the model that the attacks could ask, if any."},
            "shadow": {**ROWS, "description": "How many shadow models could be fitted, if any."},
            "provenance": {
                "type": "object",
                "description": "Where the rows came from; only for rows of a model of synth.",
                "required": list(provenance),
                "properties": provenance | conditioned,
            },
            FIGURES: {
                "enum": [INTERNAL, PUBLIC],
                "description": "Only for rows made under a privacy budget. `internal`: exact figures on real rows, outside the "
                "budget, which never leave and on which no approval rests. `public`: from what was paid for alone.",
            },
            "search": _search(),
            "privacy": _privacy(),
        },
    }


def _privacy() -> dict[str, Any]:
    facts = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
    fields = {
        "epsilon": _of("number", "ε."),
        "delta": _of("number", "δ."),
        "unit": {"enum": ["row", "subject"], "description": "What is protected."},
        "rows_per_subject": {
            "type": ["integer", "null"],
            "description": "Rows that count of a subject, at most.",
        },
        "mechanism": _of("string", "The generator, and its method."),
        "dataset": _of("string", "The ledger's name for the people that it was spent on."),
        "entry": {"type": "integer", "minimum": 1, "description": "The ledger's entry."},
        "entry_digest": {**SHA256, "description": "SHA-256 of that entry."},
        "micro_rho": {**ROWS, "description": "What was spent, in millionths of ρ."},
        "secure": _of("boolean", "Whether nobody can draw the noise again."),
        "declared": {**facts, "description": "Facts of each column that were declared to be public."},
        "bought": {**facts, "description": "Facts of each column that were paid for."},
    }
    more = {
        "gradients": _of("boolean", "Whether part of it went on noisy steps of training (DP-SGD)."),
        "machine": {"type": ["string", "null"], "description": "Key id of the machine whose ledger was debited, if known."},
        "judged_by": {"type": ["string", "null"], "description": "Counts that were bought to judge the rows by, in words."},
    }
    return {
        "type": "object",
        "description": "What was spent of a privacy budget. Only for rows made under one, whose figures look at no real row: "
        "rows and digests of real tables are then null.",
        "required": list(fields),
        "properties": fields | more,
    }


def _search() -> dict[str, Any]:
    outcome = {"enum": ["within", "beyond", "undecided"], "description": "Whether the policy's limits were kept."}
    params = _of("object", "The setting: hyperparameters by name.")
    figure = {"anyOf": [_of("object", "value, low, high and reference, rounded."), {"type": "null"}]}
    attempt = {
        "params": params,
        "seed": {**ROWS, "description": "The seed of its inner split, its fit and its figures."},
        "outcome": outcome,
        "figures": {
            "type": "object",
            "additionalProperties": figure,
            "description": "What was measured on the inner split, by label; null where it could not be.",
        },
    }
    fields = {
        "generator": _of("string", "The method whose setting was searched."),
        "policy": _of("object", "Name, version and digest of the policy whose limits were to be kept."),
        "prefer": {
            "enum": ["faithful", "private"],
            "description": "Which of the settings that the policy lets through was looked for; without it, the most faithful.",
        },
        "ladder": {"type": "integer", "minimum": 1, "description": "How many settings there were to choose from."},
        "rows": _of("object", "The training rows that attempts were fitted on (train) and judged against (holdout)."),
        "seed": {**ROWS, "description": "The seed of the first inner split; the second has the next one."},
        "attempts": {
            "type": "array",
            "description": "Every attempt, in the order made. These figures chose the setting: they are selected.",
            "items": {"type": "object", "required": list(attempt), "properties": attempt},
        },
        "chosen": {**params, "description": "The setting that was fitted on all training rows."},
        "outcome": outcome,
        "why": _of("string", "Why it was chosen."),
    }
    return {
        "type": "object",
        "description": "How the generator's setting was chosen on an inner split of the training rows, if by a search.",
        "required": [name for name in fields if name != "prefer"],
        "properties": fields,
    }


def _sides() -> dict[str, Any]:
    sides = {
        "train": {"description": "The rows that the generator was fitted on."},
        "holdout": {"description": "Real rows that it never saw."},
        "synthetic": {"description": "The rows that were made."},
    }
    return {"type": "object", "required": list(sides), "properties": sides}


def _measurement() -> dict[str, Any]:
    interval = {"anyOf": [{"$ref": "#/$defs/interval"}, {"type": "null"}]}
    fields: dict[str, Any] = {
        "name": {
            "type": "string",
            "pattern": f"^({'|'.join(FAMILIES)})\\.\\S+$",
            "description": "FAMILY.METRIC, as `synth metrics` lists them; a version of another tool ends in @TOOL.",
        },
        "better": {
            "enum": list(get_args(Better)),
            "description": "Which way is good; `nearer` means nearer to the reference.",
        },
        "score": {**interval, "description": "The figure; null where the status is not `ok`."},
        "reference": {
            **interval,
            "description": "The same figure with real held-out rows in place of the synthetic ones, or what chance or the "
            "definition gives; null where there is none.",
        },
        "group": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "string"},
            "description": "For a figure about one group: its columns, each with its value.",
        },
        "columns": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What the figure is about, where that is not the whole table.",
        },
        "bounds": {
            "type": "array",
            "prefixItems": [{"type": ["number", "null"]}, {"type": ["number", "null"]}],
            "items": False,
            "minItems": 2,
            "description": "The smallest and the largest value that is possible; null where there is none.",
        },
        "status": {
            "enum": list(get_args(Status)),
            "description": "`ok`: there is a figure. `absent`: the table has nothing that it is about. `skipped`: there is too "
            "little of it. `error`: it could not be computed. Only `ok` can be a pass.",
        },
        "reason": _of("string", "Why there is no figure; empty where there is one."),
        "detail": _of(
            "object", "What stands behind the figure: per column, per pair, curves. Its fields are the metric's own."
        ),
        "seconds": {
            "type": "number",
            "minimum": 0,
            "description": "What the figure took, its metric's time shared among them.",
        },
    }
    with_score = {"properties": {"score": {"$ref": "#/$defs/interval"}, "reason": {"const": ""}}}
    without = {"properties": {"score": {"type": "null"}, "reason": {"type": "string", "minLength": 1}}}
    return {
        "type": "object",
        "required": list(fields),
        "additionalProperties": False,
        "properties": fields,
        "if": {"properties": {"status": {"const": "ok"}}},
        "then": with_score,
        "else": without,
    }


def _interval() -> dict[str, Any]:
    fields = {
        "value": _of("number", "The figure itself."),
        "low": _of("number", "The lower end of its two-sided 95% interval."),
        "high": _of("number", "The upper end."),
        "n": {"type": "integer", "minimum": 0, "description": "What the interval rests on: rows, pairs, folds."},
    }
    return {"type": "object", "required": list(fields), "additionalProperties": False, "properties": fields}


def _of(kind: str, description: str) -> dict[str, Any]:
    return {"type": kind, "description": description}
