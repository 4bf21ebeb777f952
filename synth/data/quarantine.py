"""How rows that nobody has approved are marked."""

from __future__ import annotations

# In the Parquet metadata of every file of rows that is not an export.
QUARANTINE = {"synth:status": "quarantined: not approved for release; see `synth gate` and `synth export`"}
