"""Synthetic tables that are judged against real ones, and leave only when a policy approves and a key signs.

Everything public is here; each name is imported when it is first used, so that `import synth` stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Table": "synth.data.table",
    "Schema": "synth.data.schema",
    "Column": "synth.data.schema",
    "read": "synth.data.sources",
    "Budget": "synth.privacy.budget",
    "Ledger": "synth.privacy.ledger",
    "Generator": "synth.generators.base",
    "Autoregressive": "synth.generators.autoregressive",
    "Copula": "synth.generators.copula",
    "Diffusion": "synth.generators.diffusion",
    "Gan": "synth.generators.gan",
    "ImageDiffusion": "synth.generators.image_diffusion",
    "Independent": "synth.generators.independent",
    "Marginals": "synth.generators.marginals",
    "Smote": "synth.generators.smote",
    "Trees": "synth.generators.trees",
    "load": "synth.generators._storage",
    "Processes": "synth.scale.processes",
    "Measurement": "synth.metrics.measurement",
    "Measurements": "synth.metrics.measurement",
    "evaluate": "synth.metrics.evaluation",
    "evaluate_public": "synth.public_figures",
    "Policy": "synth.gate.policy",
    "Verdict": "synth.gate.verdict",
    "Approval": "synth.gate.approval",
    "approve": "synth.approving",
    "export": "synth.approving",
    "to_csv": "synth.approving",
    "to_hf": "synth.approving",
    "to_sql": "synth.approving",
    "fit_to_policy": "synth.tuning",
    "Tuned": "synth.tuning",
    "compare": "synth.comparing",
    "plan_release": "synth.release",
    "release": "synth.release",
    "run": "synth.run",
    "balance": "synth.balance",
    "Balance": "synth.balance",
    "audit": "synth.audit",
    "repair": "synth.repair",
    "replay": "synth.replay",
    "verify": "synth.gate.verify",
}

__all__ = ["__version__", "check", "errors", *_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    if name in ("check", "errors", "generators", "metrics", "gate", "data", "privacy", "report", "scale", "sklearn"):
        return importlib.import_module(f"synth.{name}")
    raise AttributeError(f"module 'synth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
