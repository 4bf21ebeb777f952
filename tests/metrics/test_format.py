"""What is written as measurements.json has the published form, and nothing of another form is read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from synth.data.table import Provenance, Table
from synth.errors import DataError
from synth.metrics import format as form
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import FORMAT, Interval, Measurement, Measurements
from synth.report.twin import to_json

HERE = Path(__file__).resolve().parents[2]
VALIDATOR = Draft202012Validator(form.schema())


def written(measured: Measurements) -> Any:
    """As a program reads it."""
    return json.loads(json.dumps(measured.to_dict(), allow_nan=False))


def described(schema: Any, path: str = "") -> list[str]:
    """The fields that are given no description."""
    if isinstance(schema, list):
        return [said for item in schema for said in described(item, path)]
    if not isinstance(schema, dict):
        return []
    bare = [
        f"{path}.{name}"
        for name, field in (schema.get("properties") or {}).items()
        if path not in ("if", "then", "else") and "description" not in field
    ]
    return bare + [said for key, inner in schema.items() for said in described(inner, key)]


def test_the_published_schema_is_the_one_that_the_code_makes() -> None:
    assert (HERE / "docs" / "schemas" / "measurements.schema.json").read_text(encoding="utf-8") == form.text()


def test_the_schema_is_one_names_no_host_and_describes_every_field() -> None:
    Draft202012Validator.check_schema(form.schema())
    assert form.schema()["$id"] == "urn:synth:schema:measurements:1"
    assert [line for line in form.text().splitlines() if "://" in line and '"$schema"' not in line] == []
    assert FORMAT.endswith("/1")
    inner = {key: value for key, value in form.schema().items() if key != "$defs"}
    assert described(inner) + [said for one in form.schema()["$defs"].values() for said in described(one)] == []


def test_real_figures_are_of_that_form(measured: Measurements) -> None:
    VALIDATOR.validate(written(measured))


def test_figures_without_a_holdout_and_with_everything_at_hand_are(three: tuple[Table, Table, Table]) -> None:
    train, holdout, fake = three
    VALIDATOR.validate(written(evaluate(train.head(100), None, fake.head(100))))
    made = Table(fake.arrow, fake.schema, provenance=Provenance("trees", "0" * 64, 1, len(fake), "age > 3"))
    found = evaluate(train, holdout, made, repeats=[holdout], only="validity")
    VALIDATOR.validate(written(found))
    assert found.context["repeats"] == [holdout.digest()]


SPOIL: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda d: d.update(format="synth.measurements/2"),
    "no format": lambda d: d.pop("format"),
    "a field more": lambda d: d.update(extra=1),
    "an unknown status": lambda d: d["measurements"][0].update(status="passed"),
    "a figure that is skipped": lambda d: d["measurements"][0].update(status="skipped", reason="too few"),
    "no reason": lambda d: d["measurements"][0].update(status="skipped", score=None),
    "a score of text": lambda d: d["measurements"][0].update(score="0.1"),
    "a name without family": lambda d: d["measurements"][0].update(name="shape"),
    "no digests": lambda d: d["context"].pop("digests"),
    "a digest that is none": lambda d: d["context"]["digests"].update(train="abc"),
}


@pytest.mark.parametrize("fault", SPOIL)
def test_what_is_not_of_that_form_is_told(fault: str, measured: Measurements) -> None:
    document = deepcopy(written(measured))
    SPOIL[fault](document)
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("found", [None, "synth.measurements/2", "synth.measurements/0", "other/1", 3])
def test_another_version_is_refused_in_words(found: object, measured: Measurements) -> None:
    document = written(measured) | {"format": found}
    with pytest.raises(DataError, match=r"reads 'synth\.measurements/1'") as refused:
        Measurements.from_dict(document)
    assert "evaluate the rows again" in str(refused.value)


def test_the_twin_of_the_page_has_a_format_of_its_own(measured: Measurements) -> None:
    assert json.loads(to_json(measured))["format"] == "synth.report/1"


# numbers that JSON does not have -------------------------------------------------------------------------------------

SOUND = Interval(0.1, 0.0, 0.2, 3)


@pytest.mark.parametrize(
    "given",
    [
        {"score": Interval(math.nan, 0.0, 1.0, 3)},
        {"score": Interval(0.1, 0.0, math.inf, 3)},
        {"score": SOUND, "reference": Interval(math.nan, 0.0, 1.0, 3)},
        {"score": SOUND, "detail": {"columns": {"a": math.nan}}},
        {"score": SOUND, "detail": {"columns": np.zeros(3)}},
    ],
)
def test_a_figure_that_cannot_be_written_down_is_an_error(given: dict[str, Any]) -> None:
    m = Measurement("fidelity.mine", "lower", **given)
    assert (m.status, m.score) == ("error", None)
    assert m.reason
    json.dumps(m.to_dict(), allow_nan=False)


def test_a_bound_that_is_none_is_null_and_comes_back() -> None:
    m = Measurement("fidelity.mine", "lower", SOUND, bounds=(0.0, math.inf))
    assert m.to_dict()["bounds"] == [0.0, None]
    assert Measurement.from_dict(m.to_dict()) == m


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    m = Measurement("fidelity.mine", "lower", Interval(np.float32(0.5), np.float64(0), np.float64(1), np.int64(3)))  # type: ignore[arg-type]
    assert json.loads(json.dumps(m.to_dict()))["score"] == {"value": 0.5, "low": 0.0, "high": 1.0, "n": 3}
