"""A `Measurement`: a metric's value with its interval, its n, and what real rows score in place of synthetic ones."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from synth.errors import DataError, MissingExtraError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from synth.data.table import Table

FORMAT = "synth.measurements/1"  # of measurements.json; its JSON Schema is made by `synth.metrics.format`
FIGURES = "figures"  # key of the context: whose eyes the figures of rows made under a privacy budget are for
INTERNAL = "internal"  # exact, on real rows: outside the budget, so that they never leave
PUBLIC = "public"  # from what was paid for alone
Better = Literal["lower", "higher", "nearer"]  # "nearer": to the reference
Status = Literal["ok", "absent", "skipped", "error"]


@dataclass(frozen=True)
class Interval:
    """A value and its two-sided 95% interval."""

    value: float
    low: float
    high: float
    n: int  # what the interval rests on: rows, pairs, folds

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def to_dict(self) -> dict[str, Any]:
        """The interval as plain JSON values."""
        return {"value": float(self.value), "low": float(self.low), "high": float(self.high), "n": int(self.n)}

    @property
    def is_finite(self) -> bool:
        """Whether the value and both ends are numbers."""
        return all(math.isfinite(number) for number in (self.value, self.low, self.high))


@dataclass(frozen=True)
class Measurement:
    """One figure about a synthetic table. Values are fractions, never percent.

    Without a score, the status says why: "absent" where the table has nothing that it is about (no target, no constraints),
    "skipped" where there is something but too little of it, "error" where it crashed. None of them is ever a pass.
    """

    name: str  # "fidelity.shape", "fairness.group_share", …: FAMILY.METRIC
    better: Better
    score: Interval | None = None
    reference: Interval | None = None  # the same metric with real holdout rows in place of the synthetic ones
    group: Mapping[str, str] | None = None  # {"sex": "Female"} for a figure about one group
    columns: tuple[str, ...] = ()  # what the figure is about, where that is not the whole table
    bounds: tuple[float, float] = (0.0, 1.0)  # the values that are possible; infinite where there is no bound
    status: Status = "ok"
    reason: str = ""  # why there is no score
    detail: Mapping[str, Any] = field(default_factory=dict)  # JSON values for the report: per column, per pair, curves
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.status == "ok":
            if fault := self._fault():
                object.__setattr__(self, "status", "error")
                object.__setattr__(self, "reason", self.reason or fault)
                for name, nothing in (("score", None), ("reference", None), ("detail", {})):
                    object.__setattr__(self, name, nothing)
        elif self.status not in get_args(Status):
            raise ValueError(f"{self.name}: status {self.status!r} is not one of {', '.join(get_args(Status))}")
        elif not self.reason:
            raise ValueError(f"{self.name}: status {self.status!r} needs a reason")
        else:
            object.__setattr__(self, "score", None)  # what could not be measured has no figure to pass with

    def _fault(self) -> str:
        """Why the figure cannot be written down, or nothing."""
        if self.score is None or not self.score.is_finite:
            return "the value or its interval is not a finite number"
        if self.reference is not None and not self.reference.is_finite:
            return "what real rows score is not a finite number"
        try:
            json.dumps([self.detail, self.group, self.columns], allow_nan=False)
        except (TypeError, ValueError) as problem:
            return f"the detail is not JSON: {problem}"
        return ""

    def __repr__(self) -> str:
        if self.score is None:
            return f"Measurement({self.label}: {self.status}, {self.reason})"
        real = "" if self.reference is None else f"; real rows {self.reference}"
        return f"Measurement({self.label}: {self.score}, n = {self.score.n:,}{real})"

    @property
    def family(self) -> str:
        """The part of the name before the point: validity, fidelity, utility, privacy or fairness."""
        return self.name.split(".", 1)[0]

    @property
    def label(self) -> str:
        """The name with its group or columns: "fairness.group_share[sex=Female]", or with both: "…[race of sex=Female]"."""
        return labelled(self.name, self.columns, self.group or {})

    def to_dict(self) -> dict[str, Any]:
        """The measurement as plain JSON values."""
        return {
            "name": self.name,
            "better": self.better,
            "score": None if self.score is None else self.score.to_dict(),
            "reference": None if self.reference is None else self.reference.to_dict(),
            "group": None if self.group is None else dict(self.group),
            "columns": list(self.columns),
            "bounds": [float(bound) if math.isfinite(bound) else None for bound in self.bounds],
            "status": self.status,
            "reason": self.reason,
            "detail": dict(self.detail),
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """The inverse of `to_dict`."""
        values = dict(data)
        for key in ("score", "reference"):
            values[key] = None if values.get(key) is None else Interval(**values[key])
        values["columns"] = tuple(values.get("columns", ()))
        low, high = values.get("bounds", (0.0, 1.0))
        values["bounds"] = (-math.inf if low is None else low, math.inf if high is None else high)
        return cls(**values)


def labelled(name: str, columns: Sequence[str], group: Mapping[str, str]) -> str:
    """A metric's name with what the figure is about in brackets: columns, a group, or columns of a group."""
    about = [part for part in (", ".join(columns), ", ".join(f"{k}={v}" for k, v in group.items())) if part]
    return f"{name}[{' of '.join(about)}]" if about else name


@dataclass(frozen=True)
class Measurements:
    """All figures about one synthetic table, and what they were taken on.

    context (JSON values): "rows": {"train", "holdout", "synthetic"}, "digests": {"train", "holdout", "synthetic", "schema"},
    "target", "sensitive", "seed", "synth" (the version), "data_sketch" (which real rows they are about, see
    `synth.data.sketch`); where the rows came from a model of ours "provenance" (generator, model_digest, seed, rows, where);
    where they were given "repeats" (digests), "model" (its digest), "shadow"; where the generator's setting was chosen by a
    search, "search" (the record of `synth.tuning`); and of rows made under a privacy budget "figures" (`INTERNAL` or `PUBLIC`)
    and, with public ones, "privacy" (what was spent).
    `synthetic` is the table itself while it is in memory; it is not written with the figures.
    """

    items: tuple[Measurement, ...]
    context: Mapping[str, Any]
    synthetic: Table | None = field(default=None, compare=False, repr=False)

    def __iter__(self) -> Iterator[Measurement]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def are_internal(self) -> bool:
        """Whether they are exact figures on real rows about rows made under a privacy budget: outside of it, never to leave."""
        return self.context.get(FIGURES) == INTERNAL

    def named(self, name: str) -> tuple[Measurement, ...]:
        """All measurements of one metric (one, or one per group)."""
        return tuple(m for m in self.items if m.name == name)

    def __getitem__(self, label: str) -> Measurement:
        """The measurement of that label, or the first of that name. Raises KeyError, with the nearest label."""
        for measurement in self.items:
            if measurement.label == label or measurement.name == label:
                return measurement
        raise KeyError(f"no measurement {label!r}{did_you_mean(label, [m.label for m in self.items])}")

    def __repr__(self) -> str:
        """A line for each figure: its value with the 95% interval, and what real rows score."""
        rows = self.context.get("rows", {})
        sizes = ", ".join(f"{size:,} {side}" for side, size in rows.items() if size is not None)
        beside = "noise alone" if self.context.get(FIGURES) == PUBLIC else "real rows"
        width = min(48, max((len(m.label) for m in self.items), default=0))
        lines = [
            f"  {m.label:<{width}}  {f'{m.status}: {m.reason}' if m.score is None else m.score}"
            + (f"  {beside} {m.reference}" if m.reference is not None else "")
            for m in self.items
        ]
        count = f"{len(self)} {'INTERNAL ' if self.are_internal else ''}figure{'' if len(self) == 1 else 's'}"
        return "\n".join([f"Measurements({count}{f' on {sizes} rows' if sizes else ''})", *lines])

    def to_pandas(self) -> pd.DataFrame:
        """A frame with one row per figure: its name and label, value, low, high and n, the reference with its ends, its status.

        What has no score has NaN in its place. Raises MissingExtraError where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as problem:
            raise MissingExtraError("`to_pandas`", "pandas", "pandas") from problem
        return pd.DataFrame([_flat(m) for m in self.items])

    def to_dict(self) -> dict[str, Any]:
        """The figures and what they were taken on, as plain JSON values."""
        return {"format": FORMAT, "context": dict(self.context), "measurements": [m.to_dict() for m in self.items]}

    def digest(self) -> str:
        """SHA-256 (hex) of the figures and what they were taken on, but not of how long they took."""
        document = self.to_dict()
        for measurement in document["measurements"]:
            del measurement["seconds"]
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurements:
        """The inverse of `to_dict`; the synthetic table is not among them. Raises DataError for another form or version."""
        items, context, found = data["measurements"], data["context"], data.get("format")
        if found != FORMAT:
            said = "name no format" if found is None else f"are of the format {str(found)[:60]!r}"
            raise DataError(
                f"these measurements {said}, and this version of synth reads {FORMAT!r};\n"
                "evaluate the rows again, or read them with the version of synth that wrote them (context.synth)"
            )
        return cls(tuple(Measurement.from_dict(m) for m in items), context)


def _flat(m: Measurement) -> dict[str, Any]:
    score, real = m.score, m.reference
    return {
        "name": m.name,
        "label": m.label,
        "better": m.better,
        "value": math.nan if score is None else score.value,
        "low": math.nan if score is None else score.low,
        "high": math.nan if score is None else score.high,
        "n": 0 if score is None else score.n,
        "reference": math.nan if real is None else real.value,
        "reference_low": math.nan if real is None else real.low,
        "reference_high": math.nan if real is None else real.high,
        "status": m.status,
        "reason": m.reason,
    }
