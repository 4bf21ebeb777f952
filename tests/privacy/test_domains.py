"""A domain follows from the declaration and from what was bought; no row changes it, or is an error."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synth.data.conditions import Where
from synth.data.encoding import Encoded, EncodedColumn, decode, encode
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.sources import read, read_claimed
from synth.data.table import Table
from synth.errors import BudgetError, ConfigError, InputError, SchemaError
from synth.privacy import buying, facts
from synth.privacy.allowance import Allowance
from synth.privacy.bins import Cuts, depth
from synth.privacy.domains import PrivateDomain, encode_rows
from synth.privacy.mechanisms import Noise, sigma
from synth.privacy.subjects import truncate_subjects

pytest.importorskip("opendp", reason="facts and bins are bought by OpenDP's noise, which the extra 'dp' brings")


def seeded(micro_rho: int = 10**9, *, delta: float = 0.0, seed: int = 0) -> Noise:
    return Noise(Allowance(micro_rho), delta=delta, seed=seed)


DECLARED: dict[str, Any] = {
    "age": {"kind": "integer", "minimum": 0, "maximum": 120, "nullable": True},
    "score": {"kind": "decimal", "minimum": -1.0, "maximum": 1.0, "decimals": 2, "nullable": False},
    "level": {"kind": "integer", "minimum": 1, "maximum": 5, "nullable": False},
    "colour": {"kind": "categorical", "categories": ["red", "green", "blue", "grey"], "nullable": True},
    "grade": {"kind": "ordinal", "categories": ["low", "middle", "high"], "nullable": False},
    "member": {"kind": "boolean", "nullable": False},
    "joined": {"kind": "datetime", "minimum": "2000-01-01", "maximum": "2030-12-31", "unit": "day", "nullable": False},
}


def rows(n: int = 40) -> dict[str, list[Any]]:
    return {
        "age": [30 + i % 7 for i in range(n)],
        "score": [0.25] * n,  # constant
        "level": [1 + i % 4 for i in range(n)],
        "colour": [("red", "green")[i % 2] for i in range(n)],
        "grade": [("low", "high")[i % 2] for i in range(n)],
        "member": [i % 3 == 0 for i in range(n)],
        "joined": [dt.date(2020, 1, 1 + i % 9) for i in range(n)],
    }


ONE = {"age": 33, "score": 0.25, "level": 2, "colour": "red", "grade": "low", "member": True, "joined": dt.date(2020, 1, 4)}
NEIGHBOURS = {
    "one of a kind": {**ONE, "colour": "blue"},
    "an extreme": {**ONE, "age": 119, "score": 1.0, "joined": dt.date(2030, 12, 31)},
    "a null": {**ONE, "age": None, "colour": None},
    "no longer constant": {**ONE, "score": -0.73},
    "a finer step": {**ONE, "score": 0.5},
}


def table(added: dict[str, Any] | None = None, declared: dict[str, Any] = DECLARED) -> Table:
    columns = rows()
    for name, value in (added or {}).items():
        columns[name] = [*columns[name], value]
    return read(pa.table({name: pa.array(values) for name, values in columns.items()}), schema={"columns": declared})


def fingerprint(held: Table, **shares: Any) -> str:
    domain = PrivateDomain.of(encode(held), held.schema, **shares)
    return json.dumps([domain.to_dict(), domain.sizes, domain.names, domain.schema(held.schema).to_dict()])


# neighbours -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbour", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_a_declared_domain_is_the_same_with_one_row_more(neighbour: dict[str, Any]) -> None:
    assert fingerprint(table(neighbour)) == fingerprint(table(ONE)) == fingerprint(table())


def undeclaring(*facts: str) -> dict[str, Any]:
    """The declaration without these facts, but for the order of grades, which `read` itself wants."""
    less = {name: {fact: said for fact, said in entry.items() if fact not in facts} for name, entry in DECLARED.items()}
    return less | {"grade": less["grade"] | {"categories": DECLARED["grade"]["categories"]}}


@pytest.mark.parametrize("hidden", ["nullable", "minimum", "categories", "decimals", "unit"])
@pytest.mark.parametrize("neighbour", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_a_refusal_says_the_same_with_one_row_more(neighbour: dict[str, Any], hidden: str) -> None:
    declared = undeclaring(hidden)
    said = []
    for added in (None, neighbour):
        held = table(added, declared)
        with pytest.raises(SchemaError) as refused:
            PrivateDomain.of(encode(held), held.schema)
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_a_refusal_of_inferred_kinds_does_not_tell_them() -> None:
    """A number that one row makes a fraction, an identifier that one row makes a category: neither shows."""
    told = []
    for values, names in (([1.0, 2.0, 3.0], ["a", "b", "c"]), ([1.0, 2.0, 3.5], ["a", "b", "b"])):
        held = read(pa.table({"x": values, "row_id": names}))
        with pytest.raises(SchemaError) as refused:
            PrivateDomain.of(encode(held), held.schema)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert "x: {kind: KIND}" in told[0]
    assert "row_id: {kind: KIND}" in told[0]


def test_planted_bounds_off_the_rows_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: undeclared facts are kept as they were read."""
    monkeypatch.setattr(buying, "undeclared", lambda schema: {})
    monkeypatch.setattr(buying, "declared", lambda column, **bought: replace(column, **bought))
    declared = undeclaring("minimum", "maximum", "categories", "nullable")
    assert fingerprint(table(NEIGHBOURS["an extreme"], declared)) != fingerprint(table(ONE, declared))
    assert fingerprint(table(NEIGHBOURS["one of a kind"], declared)) != fingerprint(table(ONE, declared))
    assert fingerprint(table(NEIGHBOURS["a null"], declared)) != fingerprint(table(ONE, declared))


def test_what_is_asked_for_does_not_depend_on_the_rows() -> None:
    """The costs and the words of what is bought are those of the neighbour: up to the bins, which follow noisy counts."""
    declared = undeclaring("minimum", "maximum", "nullable")
    asked = []
    for added in (None, *NEIGHBOURS.values()):
        held, noise = table(added, declared), seeded()
        PrivateDomain.of(encode(held), held.schema, noise, facts_micro_rho=10**8)
        asked.append(noise.allowance.spent)
    assert all(spent == asked[0] for spent in asked)


# refusals ---------------------------------------------------------------------------------------------------------------


def test_a_refusal_gives_the_words_to_declare_it() -> None:
    held = table(declared=undeclaring("minimum", "maximum", "categories", "nullable", "unit") | {"grade": DECLARED["grade"]})
    with pytest.raises(SchemaError, match=r"'age' and 5 more do not declare") as refused:
        PrivateDomain.of(encode(held), held.schema)
    words = yaml.safe_load(str(refused.value).split("\n", 2)[2])["columns"]
    assert words["age"] == {"kind": "integer", "minimum": "LOWEST", "maximum": "HIGHEST", "nullable": "TRUE_OR_FALSE"}
    assert words["colour"] == {"kind": "categorical", "categories": ["EACH", "LEGAL", "ONE"], "nullable": "TRUE_OR_FALSE"}
    assert list(words["joined"]) == ["kind", "unit", "minimum", "maximum", "nullable"]
    assert "grade" not in words


def test_no_value_of_the_rows_is_in_a_refusal() -> None:
    held = read(pa.table({"town": ["Ystad", "Ystad", "Malmö"], "pay": [41_237, 52_999, 77_001]}))
    for kinds in ({}, {"town": "categorical", "pay": "integer"}):
        claimed = read(held, kinds=kinds)
        with pytest.raises(SchemaError) as refused:
            PrivateDomain.of(encode(claimed), claimed.schema)
        assert not any(value in str(refused.value) for value in ("Ystad", "Malmö", "41", "77", "52"))


def test_kinds_steps_and_the_order_of_a_scale_are_not_for_sale() -> None:
    noise = seeded(delta=1e-3)
    held = table(declared={name: entry for name, entry in DECLARED.items() if name != "age"})
    with pytest.raises(SchemaError, match="kind: KIND"):
        PrivateDomain.of(encode(held), held.schema, noise, facts_micro_rho=1_000, delta=1e-3)
    held, grade = table(), table().schema.column("grade")
    schema = held.schema.with_columns(replace(grade, declared=("kind", "nullable")))
    with pytest.raises(SchemaError, match=r"grade: \{kind: ordinal, categories"):
        PrivateDomain.of(encode(held), schema, noise, facts_micro_rho=1_000, delta=1e-3)
    for fact, words in (
        ("decimals", "score: {kind: decimal, decimals: DIGITS}"),
        ("unit", "joined: {kind: datetime, unit: UNIT}"),
    ):
        held = table(declared=undeclaring(fact))
        with pytest.raises(SchemaError, match=re.escape(words)):
            PrivateDomain.of(encode(held), held.schema, noise, facts_micro_rho=1_000, delta=1e-3)
    assert noise.allowance.spent == []


def test_categories_are_not_bought_without_a_delta() -> None:
    held = table(declared=DECLARED | {"colour": {"kind": "categorical", "nullable": True}})
    with pytest.raises(SchemaError, match=r"colour: \{kind: categorical, categories"):
        PrivateDomain.of(encode(held), held.schema, seeded(), facts_micro_rho=1_000)
    with pytest.raises(BudgetError, match="delta"):
        PrivateDomain.of(encode(held), held.schema, seeded(delta=1e-9), facts_micro_rho=1_000, delta=1e-6)


def test_rare_codes_need_a_null_to_count_as() -> None:
    held = read(
        pa.table({"code": np.arange(400) % 3}), schema={"columns": {"code": {"kind": "categorical", "nullable": False}}}
    )
    with pytest.raises(SchemaError, match=r"code: \{kind: categorical, categories"):
        PrivateDomain.of(encode(held), held.schema, seeded(delta=1e-6), facts_micro_rho=10**5, delta=1e-6)


def test_a_share_that_is_too_small_to_divide_is_refused() -> None:
    held = table(declared=undeclaring("nullable"))
    with pytest.raises(BudgetError, match="6 micro-ρ are set aside for 7 facts"):
        PrivateDomain.of(encode(held), held.schema, seeded(), facts_micro_rho=6)
    held = table()
    with pytest.raises(BudgetError, match="levels, and 1 micro-ρ"):
        PrivateDomain.of(encode(held), held.schema, seeded(), bins_micro_rho=3)


@pytest.mark.parametrize(("wrong", "error"), [({"bins": 1}, ConfigError), ({"rows_per_unit": 0}, ConfigError)])
def test_what_is_no_number_of_bins_or_rows_is_refused(wrong: dict[str, int], error: type[Exception]) -> None:
    held = table()
    with pytest.raises(error, match=next(iter(wrong))):
        PrivateDomain.of(encode(held), held.schema, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="give a Noise"):
        PrivateDomain.of(encode(held), held.schema, bins_micro_rho=10)


def test_bounds_without_a_legal_value_are_refused() -> None:
    held = read(pa.table({"x": [1, 2]}), schema={"columns": {"x": DECLARED["level"]}})
    column = Column("x", Kind.INTEGER, minimum=1.2, maximum=1.8, declared=("kind", "minimum", "maximum", "nullable"))
    with pytest.raises(SchemaError, match=r"no legal value from 1\.2 to 1\.8"):
        PrivateDomain.of(encode(held), Schema((column,)))


# cells ------------------------------------------------------------------------------------------------------------------


def test_cells_are_those_of_the_declaration() -> None:
    held = table()
    domain = PrivateDomain.of(encode(held), held.schema, bins=10)
    assert domain.names == tuple(DECLARED)
    assert domain.sizes == (10 + 1, 10, 5, 4 + 1, 3, 2, 10)  # ages 0–120 in 10 bins and null, … levels 1–5 a cell each
    codes = domain.encode(encode(held), held.schema)
    assert codes.dtype == np.int32
    assert codes.shape == (40, 7)
    assert codes[:4, 2].tolist() == [0, 1, 2, 3]
    assert codes[:2, 3].tolist() == [0, 1]
    assert codes[:2, 4].tolist() == [0, 2]
    assert codes[:2, 5].tolist() == [1, 0]


def claimed(**columns: list[Any]) -> Table:
    """Rows that break the declaration, under it."""
    return read_claimed(pa.table({name: pa.array(values) for name, values in columns.items()}), table().schema.select(columns))


def test_a_value_that_the_declaration_excludes_is_no_error() -> None:
    domain = PrivateDomain.of(encode(table()), table().schema)
    kept = domain.columns
    for names, wrong, as_if in (
        (("age",), {"age": [-5, 999, None]}, {"age": [0, 120, None]}),
        (("score",), {"score": [-7.5, math.inf, None]}, {"score": [-1.0, 1.0, -1.0]}),
        (("colour",), {"colour": ["pink", "red", None]}, {"colour": [None, "red", None]}),
        (("grade",), {"grade": ["pink", "high", None]}, {"grade": ["low", "high", "low"]}),
        (("member",), {"member": [None, True, False]}, {"member": [False, True, False]}),
        (
            ("joined",),
            {"joined": [dt.date(1900, 1, 1), dt.date(2099, 1, 1)]},
            {"joined": [dt.date(2000, 1, 1), dt.date(2030, 12, 31)]},
        ),
    ):
        part = PrivateDomain(tuple(column for column in kept if column.name in names))
        cells = [part.encode(encode_rows(held), held.schema) for held in (claimed(**wrong), claimed(**as_if))]
        assert cells[0].tolist() == cells[1].tolist(), names


def test_an_integer_with_few_legal_values_has_a_cell_for_each() -> None:
    column = Column("x", Kind.INTEGER, minimum=-3, maximum=20, declared=("kind", "minimum", "maximum", "nullable"))
    domain = PrivateDomain.of(Encoded((EncodedColumn("x", np.zeros(0)),), 0), Schema((column,)), bins=24)
    values = np.arange(-3.0, 21.0)
    cells = domain.encode(Encoded((EncodedColumn("x", values),), 24), Schema((column,)))
    assert cells[:, 0].tolist() == list(range(24))
    assert domain.decode(cells, np.random.default_rng(0))["x"].values.tolist() == values.tolist()


BOUNDS = st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 10**6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=80, deadline=None)
@given(bounds=BOUNDS, digits=st.integers(0, 4), bins=st.integers(2, 40), nullable=st.booleans(), seed=st.integers(0, 99))
def test_a_number_comes_back_in_its_bin_and_on_its_grid(
    bounds: tuple[int, int], digits: int, bins: int, nullable: bool, seed: int
) -> None:
    low, high = (bound / 10**digits for bound in bounds)
    facts = ("kind", "minimum", "maximum", "decimals", "nullable")
    column = Column("x", Kind.DECIMAL, minimum=low, maximum=high, decimals=digits, nullable=nullable, declared=facts)
    schema, rng = Schema((column,)), np.random.default_rng(seed)
    held = np.round(rng.integers(bounds[0], bounds[1] + 1, 30) / 10**digits, digits)
    if nullable:
        held[::4] = np.nan
    rows = Encoded((EncodedColumn("x", held, decimals=digits),), 30)
    for shares in ({}, {"bins_micro_rho": 10**6}):
        domain = PrivateDomain.of(rows, schema, seeded(seed=seed), bins=bins, **shares)  # type: ignore[arg-type]
        codes = domain.encode(rows, schema)
        assert codes.min() >= 0
        assert codes.max() < domain.sizes[0]
        back = domain.decode(codes, rng)
        assert np.array_equal(np.isnan(back["x"].values), np.isnan(held))
        drawn = back["x"].values[~np.isnan(held)]
        assert np.array_equal(np.round(drawn, digits), drawn)
        assert drawn.min(initial=high) >= low
        assert drawn.max(initial=low) <= high
        assert np.array_equal(domain.encode(back, domain.schema(schema)), codes)
        again = PrivateDomain.from_dict(json.loads(json.dumps(domain.to_dict())))
        assert np.array_equal(again.encode(rows, schema), codes)
        assert again.to_dict() == domain.to_dict()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_rows_come_back_under_the_public_schema(seed: int) -> None:
    held, rng = table(NEIGHBOURS["a null"]), np.random.default_rng(seed)
    domain = PrivateDomain.of(encode(held), held.schema, bins=9)
    codes = np.column_stack([rng.integers(0, size, 50) for size in domain.sizes])
    public = domain.schema(held.schema)
    made = decode(domain.decode(codes, rng), public, held.arrow.schema)
    assert made.schema.types == held.arrow.schema.types
    again = read(made, schema=public)
    assert np.array_equal(domain.encode(encode(again), public), codes)


def test_a_number_without_a_grid_is_drawn_anywhere_in_its_bin() -> None:
    facts = ("kind", "minimum", "maximum", "decimals", "nullable")
    column = Column("x", Kind.DECIMAL, minimum=0.1, maximum=0.7, decimals=17, declared=facts)
    domain = PrivateDomain.of(Encoded((EncodedColumn("x", np.zeros(0)),), 0), Schema((column,)), bins=3)
    drawn = domain.decode(np.full((2_000, 1), 1), np.random.default_rng(0))["x"].values
    assert len(np.unique(drawn)) == 2_000
    assert stats.kstest(drawn, stats.uniform(0.3, 0.2).cdf).pvalue > 1e-6


def test_bounds_are_taken_as_they_are_written() -> None:
    """As a double 1.1 is more than eleven tenths; it is legal nonetheless."""
    facts = ("kind", "minimum", "maximum", "decimals", "nullable")
    column = Column("x", Kind.DECIMAL, minimum=1.1, maximum=2.3, decimals=1, declared=facts)
    domain = PrivateDomain.of(Encoded((EncodedColumn("x", np.zeros(0)),), 0), Schema((column,)))
    assert domain.sizes == (13,)
    assert domain.decode(np.array([[0], [12]]), np.random.default_rng(0))["x"].values.tolist() == [1.1, 2.3]


# conditions -------------------------------------------------------------------------------------------------------------


ASKED = [
    "age >= 33 and age < 71",
    "age in (3, 90)",
    "age between 40 and 49 and age not in (41, 47)",
    "age is null",
    "age is not null and score > 0.29",
    "score <= -0.995",
    "score = 0.29 and level != 2",
    "rate > 0.1 and rate < 0.10001",
    "rate in (0.25, 0.75) and colour in ('red', 'grey')",
    "rate != 0.5 and colour is null",
    "grade >= 'middle' and member = true",
    "joined >= '2020-02-29' and joined <= '2020-03-01'",
]


@pytest.mark.parametrize("paid", [0, 10**6], ids=["even", "bought"])
@pytest.mark.parametrize("asked", ASKED)
def test_every_value_that_is_drawn_satisfies_what_is_asked_of_it(asked: str, paid: int) -> None:
    declared = DECLARED | {"rate": {"kind": "decimal", "minimum": 0.0, "maximum": 1.0, "decimals": 17, "nullable": False}}
    columns = rows(200) | {"rate": list(np.linspace(0.2, 0.9, 200))}
    held = read(pa.table({name: pa.array(values) for name, values in columns.items()}), schema={"columns": declared})
    domain = PrivateDomain.of(encode(held), held.schema, seeded(), bins=7, bins_micro_rho=paid)
    public, rng = domain.schema(held.schema), np.random.default_rng(1)
    where = Where.parse(asked, public)
    allowed = domain.allowed(where.clauses)
    assert all(mask.any() for mask in allowed.values())
    draws = [np.flatnonzero(allowed.get(place, np.ones(size, dtype=bool))) for place, size in enumerate(domain.sizes)]
    codes = np.column_stack([rng.choice(cells, 300) for cells in draws])
    made = domain.decode(codes, rng, where.clauses)
    for clause in where.clauses:
        assert clause.holds(made[clause.column].values).all()
    assert np.array_equal(domain.encode(made, public), codes)
    for place, mask in allowed.items():  # and no cell is barred that holds such a value
        others = domain.decode(rng.integers(0, domain.sizes, (3_000, len(domain.sizes))), rng)
        met = next(clause for clause in where.clauses if clause.column == domain.names[place])
        cells = domain.encode(others, public)[met.holds(others[met.column].values), place]
        assert mask[cells].all()


# what is bought ---------------------------------------------------------------------------------------------------------


def skewed(n: int, rng: np.random.Generator) -> pa.Table:
    return pa.table(
        {
            "pay": np.where(rng.random(n) < 0.6, 0, np.round(rng.lognormal(8, 1, n))).astype(np.int64),
            "price": np.round(rng.gamma(2, 30, n), 2),
            "when": pa.array((19_000 + rng.integers(0, 900, n)).astype("datetime64[D]").astype("datetime64[s]")),
            "town": rng.choice(["north", "south", "rare"], n, p=[0.6, 0.3998, 0.0002]),
            "code": pa.array(rng.choice([7, 9, 1_000], n, p=[0.6, 0.3998, 0.0002])),
        }
    )


KINDS: dict[str, Any] = {
    "pay": {"kind": "integer"},
    "price": {"kind": "decimal", "decimals": 2},
    "when": {"kind": "datetime", "unit": "day"},
    "town": {"kind": "categorical"},
    "code": {"kind": "categorical"},
}


def test_facts_are_bought_where_a_share_is_set_aside() -> None:
    held = read(skewed(20_000, np.random.default_rng(0)), schema={"columns": KINDS})
    noise = seeded(10**6, delta=1e-6)
    domain = PrivateDomain.of(encode(held), held.schema, noise, facts_micro_rho=600_000, bins_micro_rho=400_000, delta=1e-6)
    spent = sum(cost for _, cost in noise.allowance.spent)
    assert 500_000 < spent <= 10**6
    pay, price, when, town, code = (column.column for column in domain.columns)
    assert pay.minimum == 0
    assert pay.maximum in (2**15 - 1, 2**16 - 1)  # of 20,000 a dozen are higher
    assert price.minimum < 1  # type: ignore[operator]
    assert price.maximum in (327.67, 655.35)  # 2^15 − 1 hundredths, or twice as many
    assert (when.unit, when.minimum, when.maximum) == ("day", "2014-11-10", "2059-09-18")  # 2^14 … 2^15 − 1 days
    assert town.categories == ("north", "south", "OTHER")
    assert code.categories == (7, 9)
    assert code.nullable  # 1,000 counts as null: there is no text to call it OTHER
    assert [column.other for column in domain.columns] == [None, None, None, "OTHER", "null"]
    assert [column.bought for column in domain.columns] == [
        ("minimum", "maximum", "nullable", "bins"),
        ("minimum", "maximum", "nullable", "bins"),
        ("minimum", "maximum", "nullable", "bins"),
        ("categories", "nullable"),
        ("categories", "nullable"),
    ]
    assert [column.declared for column in domain.columns[:3]] == [("kind",), ("kind", "decimals"), ("kind", "unit")]
    codes = domain.encode(encode(held), held.schema)
    made = decode(domain.decode(codes, np.random.default_rng(0)), domain.schema(held.schema), held.arrow.schema)
    real, drawn = (np.asarray(arrow.column("pay")) for arrow in (held.arrow, made))
    assert stats.ks_2samp(real, drawn).statistic < 0.02
    assert set(made.column("town").to_pylist()) == {"north", "south", "OTHER"}


def test_secure_noise_buys_as_well() -> None:
    columns = {"x": np.arange(9_000) % 30 - 8, "town": np.array(["north", "south"])[np.arange(9_000) % 2]}
    held = read(pa.table(columns), kinds={"x": "integer", "town": "categorical"})
    noise = Noise(Allowance(10**6), delta=1e-6)
    domain = PrivateDomain.of(encode(held), held.schema, noise, bins=8, facts_micro_rho=10**5, bins_micro_rho=10**5, delta=1e-6)
    assert noise.is_secure
    assert (domain["x"].column.minimum, domain["x"].column.maximum, domain["x"].column.nullable) == (-15, 31, False)
    assert domain["town"].column.categories == ("north", "south", "OTHER")
    assert 6 <= domain["x"].size <= 16
    assert [what for what, _ in noise.allowance.spent if "town" in what] == ["nulls of 'town'", "categories of 'town'"]
    assert noise.delta_left < 1e-15


def test_a_declared_bound_is_kept_where_the_other_is_bought() -> None:
    held = read(
        pa.table({"x": np.arange(5_000) % 40}), schema={"columns": {"x": {"kind": "integer", "minimum": -9, "nullable": False}}}
    )
    domain = PrivateDomain.of(encode(held), held.schema, seeded(), facts_micro_rho=10**5)
    assert (domain["x"].column.minimum, domain["x"].column.maximum) == (-9, 63)
    assert domain["x"].bought == ("maximum",)


def test_facts_that_drown_in_noise_are_an_error_that_tells_nothing() -> None:
    held = read(pa.table({"x": [3, 4, 5]}), kinds={"x": "integer"})
    with pytest.raises(SchemaError, match=r"no bounds of column 'x' were found for 50 micro-ρ") as refused:
        PrivateDomain.of(encode(held), held.schema, seeded(), facts_micro_rho=100)
    assert "x: {minimum: …, maximum: …}" in str(refused.value)


@pytest.mark.parametrize(
    ("values", "step", "bounds"),
    [
        ([0.0], 1.0, (0, 0)),
        ([5.0], 1.0, (4, 7)),
        ([-5.0, 0.0], 1.0, (-7, 0)),
        ([-5.0, 17.0], 1.0, (-7, 31)),
        ([-5.0, -17.0], 1.0, (-31, -4)),
        ([0.05], 0.01, (0.04, 0.07)),
        ([math.inf], 1.0, (2.0**62, 2.0**63)),
        ([3.0], None, (2, 4)),
    ],
)
def test_bounds_are_powers_of_two_around_the_values(
    values: list[float], step: float | None, bounds: tuple[float, float]
) -> None:
    found = facts.buy_bounds(np.repeat(values, 500), step, seeded(), 10_000, 1, what="bounds")
    assert found == pytest.approx(bounds)


def released(decided: Any, seed: int) -> bool:
    """Whether a category that one row alone has is in the domain."""
    return "only one" in decided(np.array([0] * 30 + [1]), ["common", "only one"], seed)


def through_the_threshold(codes: np.ndarray, levels: list[str], seed: int) -> tuple[Any, ...]:
    noise = Noise(Allowance(10**6), delta=1e-3, seed=seed)
    return facts.buy_categories(codes, levels, noise, 10**6, 1, delta=1e-3, what="categories")


def without_one(codes: np.ndarray, levels: list[str], seed: int) -> tuple[Any, ...]:
    """The fault: whatever is above nothing is told of."""
    noisy = Noise(Allowance(10**6), seed=seed).counts(np.bincount(codes), 10**6, what="categories")
    return tuple(level for level, count in zip(levels, noisy, strict=True) if count > 0)


def test_a_unique_undeclared_category_is_released_no_more_often_than_delta() -> None:
    times, delta = 10_000, 1e-3
    seen = sum(released(through_the_threshold, seed) for seed in range(times))
    assert stats.binomtest(seen, times, delta).proportion_ci(1 - 2e-6).low <= delta
    seen = sum(released(without_one, seed) for seed in range(1_000))
    assert stats.binomtest(seen, 1_000, delta).proportion_ci(1 - 2e-6).low > delta


@pytest.mark.parametrize("size", [2, 33, 99, 1_000, 100_001, 2**32, 2**52])
def test_levels_reach_every_place(size: int) -> None:
    levels, fan = depth(size)
    assert fan**levels >= size
    assert levels <= math.ceil(math.log(size, 16)) or levels == 1
    assert fan <= 65


def test_a_spike_on_a_long_line_has_a_bin_of_its_own() -> None:
    rng = np.random.default_rng(0)
    places = np.where(rng.random(30_000) < 0.5, 77_777, rng.integers(0, 10**6, 30_000))
    cuts = Cuts.bought(places, 10**6, 20, seeded(), 20_000, rows_per_unit=1, what="bins")
    spike = cuts.bin(np.array([77_777]))
    assert cuts.bin(np.array([77_776, 77_778])).tolist() != [spike[0], spike[0]]
    drawn = cuts.pieces.draw(np.repeat(spike, 100), rng)
    assert (drawn == 77_777).mean() > 0.95
    held = np.bincount(cuts.bin(places[places != 77_777]), minlength=cuts.bins)
    assert held.max() < 3 * 15_000 / 10  # the rest is in bins of like size


def test_bins_cost_what_is_set_aside_at_most_and_more_rows_of_a_unit_more_noise() -> None:
    places = np.random.default_rng(0).integers(0, 5_000, 2_000)
    found = []
    for rows_per_unit in (1, 40):
        noise = seeded(1_000)
        found.append(Cuts.bought(places, 5_000, 16, noise, 1_000, rows_per_unit=rows_per_unit, what="bins").bins)
        assert sum(cost for _, cost in noise.allowance.spent) <= 1_000
    assert found[1] < found[0] / 2


def test_bins_of_a_column_without_rows_are_one() -> None:
    cuts = Cuts.bought(np.zeros(0, dtype=np.int64), 1_000, 16, seeded(), 100, rows_per_unit=1, what="bins")
    drawn = cuts.pieces.draw(np.zeros(500, dtype=np.int64), np.random.default_rng(0))
    assert cuts.bins <= 3
    assert drawn.max() < 1_000


# subjects ---------------------------------------------------------------------------------------------------------------


def visits(sizes: dict[str, int], seed: int = 0) -> Table:
    names = np.repeat(list(sizes), list(sizes.values()))
    order = np.random.default_rng(seed).permutation(len(names))
    return read(pa.table({"who": names[order], "visit": np.arange(len(names))}), subject="who")


def kept(held: Table, who: str) -> list[int]:
    return [
        visit
        for name, visit in zip(held.column("who").to_pylist(), held.column("visit").to_pylist(), strict=True)
        if name == who
    ]


def test_a_subject_keeps_so_many_rows_chosen_evenly() -> None:
    held = visits({"ann": 9, "bo": 2, "cy": 1})
    seen = np.zeros(12)
    for seed in range(400):
        cut = truncate_subjects(held, 3, np.random.default_rng(seed))
        assert [len(kept(cut, who)) for who in ("ann", "bo", "cy")] == [3, 2, 1]
        assert cut.column("visit").to_pylist() == sorted(cut.column("visit").to_pylist())
        seen[cut.column("visit").to_pylist()] += 1
    drawn = seen[kept(held, "ann")]
    assert stats.chi2.sf(((drawn - 400 / 3) ** 2 / (400 / 3)).sum(), 8) > 1e-6


def test_one_subject_more_changes_no_row_of_the_others() -> None:
    """Else a subject would move counts by more than its own rows, for who knows the seed."""
    held = visits({"ann": 9, "bo": 7, "cy": 8})
    without = held.filter(np.array([name != "bo" for name in held.column("who").to_pylist()]))
    cuts = [truncate_subjects(rows, 3, np.random.default_rng(5)) for rows in (held, without)]
    for who in ("ann", "cy"):
        assert kept(cuts[0], who) == kept(cuts[1], who)
    assert len(cuts[0]) - len(cuts[1]) == 3


def test_rows_without_a_subject_are_left_out() -> None:
    held = read(pa.table({"who": ["ann", None, "ann", "bo", None], "visit": range(5)}), subject="who")
    assert truncate_subjects(held, 2, np.random.default_rng(0)).column("visit").to_pylist() == [0, 2, 3]


def test_subjects_are_needed_and_a_number_of_rows() -> None:
    with pytest.raises(SchemaError, match="role subject"):
        truncate_subjects(table(), 2, np.random.default_rng(0))
    for k in (0, True, 1.5):
        with pytest.raises(ConfigError, match="rows_per_subject"):
            truncate_subjects(visits({"ann": 2}), k, np.random.default_rng(0))  # type: ignore[arg-type]


def test_a_unit_of_many_rows_needs_a_higher_count_of_nulls() -> None:
    null = np.arange(1_000) < 60
    few, many = (facts.buy_nullable(null, seeded(), 5_000, k, what="nulls") for k in (1, 10))
    assert (few, many) == (True, False)
    assert sigma(5_000, 10) == pytest.approx(10 * sigma(5_000))


def test_only_public_facts_stay_of_columns_that_are_not_learned() -> None:
    held = read(
        pa.table({"id": ["a@x.org", "b@x.org"], "x": [1, 2]}),
        schema={"columns": {"x": DECLARED["level"], "id": {"role": "key"}}},
    )
    public = PrivateDomain.of(encode(held.select(["x"])), held.schema).schema(held.schema)
    assert public.column("id") == Column("id", held.schema.column("id").kind, Role.KEY, declared=("role",), why="declared")


def test_rows_under_another_unit_are_refused() -> None:
    held = table()
    domain = PrivateDomain.of(encode(held), held.schema)
    other = held.schema.with_columns(replace(held.schema.column("joined"), unit="hour"))
    with pytest.raises(SchemaError, match="'joined' counts hours, and its domain days"):
        domain.encode(encode(held.with_schema(other)), other)
