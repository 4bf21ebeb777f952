"""The page's JSON twin: the same figures and verdict for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from synth.data.sketch import SKETCH
from synth.metrics.measurement import Measurements

FORMAT = "synth.report/1"  # measurements of `synth.measurements/1`, with the verdict beside them


def to_json(measurements: Measurements, verdict: Any = None) -> str:
    """The measurements, and the verdict where there is one, as canonical JSON; without the sketch, whose numbers name rows."""
    document: dict[str, Any] = measurements.to_dict() | {"format": FORMAT, "verdict": None}
    document["context"].pop(SKETCH, None)
    if verdict is not None:
        document["verdict"] = {
            "decision": verdict.decision,
            "policy": {"name": verdict.policy, "version": verdict.policy_version},
            "findings": [asdict(finding) for finding in verdict.findings],
        }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
