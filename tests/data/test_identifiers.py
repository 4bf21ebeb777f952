"""Identifiers are recognised for what they are, and issued anew: different, of the right type, and nobody's."""

from __future__ import annotations

import datetime
import re
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.data._places import permuted
from synth.data.constraints import with_pattern
from synth.data.identifiers import PROVIDERS, Issue, goes_in_order, recognise, reissue
from synth.data.schema import Column, Kind, Role, Schema
from synth.errors import GenerationError, SchemaError


def _issue(n: int, physical: pa.DataType | None = None, *, seed: int = 0, null_rate: float = 0.0, **facts: Any) -> pa.Array:
    column = Column("x", **{"kind": Kind.IDENTIFIER, **facts})
    return reissue(column, physical or pa.string(), Issue.whole(n, seed), null_rate=null_rate)


MAKES = [provider for provider in PROVIDERS if provider != "pattern"]
TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int16(), pa.int64()),
    pa.int64(),
    pa.int32(),
    pa.uint16(),
    pa.float64(),
    pa.decimal128(12, 2),
    pa.date32(),
    pa.timestamp("us", "UTC"),
]


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(TYPES), st.integers(0, 300), st.integers(0, 2**32))
def test_a_key_of_any_type_is_unique_and_of_that_type(kind: pa.DataType, n: int, seed: int) -> None:
    made = _issue(n, kind, seed=seed, role=Role.KEY)
    made.validate(full=True)
    assert made.type == kind
    assert len(made) == n == len(set(made.to_pylist()))
    assert made.null_count == 0


@pytest.mark.parametrize("provider", [provider for provider in MAKES if provider not in ("first_name", "last_name")])
def test_every_provider_issues_different_values_and_the_same_for_the_same_seed(provider: str) -> None:
    made = _issue(20_000, provider=provider)
    assert len(made.unique()) == 20_000
    assert made.equals(_issue(20_000, provider=provider))
    if provider != "sequence":
        assert not made.equals(_issue(20_000, provider=provider, seed=1))


@pytest.mark.parametrize("provider", MAKES)
def test_what_is_issued_is_recognised_as_what_it_is(provider: str) -> None:
    column = {"sequence": "row", "text": "note"}.get(provider, provider)
    expected = None if provider in ("sequence", "text") else provider
    assert (
        recognise(column, _issue(500, provider=provider, kind=Kind.TEXT if provider == "text" else Kind.IDENTIFIER)) == expected
    )


def test_first_names_repeat_as_those_of_people_do_but_not_in_a_key() -> None:
    assert len(_issue(5_000, provider="first_name").unique()) < 1_000
    with pytest.raises(GenerationError, match=r"only \d+ different values of first_name can be made, and 5,000 are needed"):
        _issue(5_000, provider="first_name", role=Role.KEY)


def test_contacts_belong_to_nobody() -> None:
    assert all(re.search(r"@example\.(com|org|net)$", text) for text in _issue(500, provider="email").to_pylist())
    assert all(text[6:11] == "-555-" for text in _issue(500, provider="phone").to_pylist())
    assert all(text.startswith("9") for text in _issue(500, provider="ssn").to_pylist())
    assert all(text.startswith("10.") for text in _issue(500, provider="ip").to_pylist())


def test_integers_run_from_one_or_from_the_minimum() -> None:
    assert _issue(3, pa.int64()).to_pylist() == [1, 2, 3]
    assert _issue(3, pa.int32(), minimum=1000).to_pylist() == [1000, 1001, 1002]
    assert _issue(2, pa.date32(), minimum="2024-02-29").to_pylist() == [datetime.date(2024, 2, 29), datetime.date(2024, 3, 1)]


def test_a_type_too_small_for_so_many_is_refused() -> None:
    with pytest.raises(GenerationError, match="int8 cannot hold 200 different values"):
        _issue(200, pa.int8())
    with pytest.raises(GenerationError, match="boolean: 2 different values exist, and 3 are needed"):
        _issue(3, pa.bool_())


def test_nulls_keep_their_rate() -> None:
    made = _issue(1_000, null_rate=0.25)
    assert made.null_count == 250
    assert len(set(made.drop_null().to_pylist())) == 750
    assert _issue(1_000, pa.dictionary(pa.int32(), pa.string()), null_rate=0.25).null_count == 250


def test_text_is_made_of_placeholder_sentences() -> None:
    made = _issue(200, kind=Kind.TEXT).to_pylist()
    assert all(re.fullmatch(r"[A-Z]\w*( [\w']+){3,13}\.", text) for text in made)


PATTERNS = [
    r"[A-Z]{3}-\d{4}",
    r"\d{5}(-\d{4})?",
    r"(foo|ba[rz]|x+)_\w{1,4}",
    r"^ID[^0-9]\s?\S\D+$",
    r"a*b?c{2,}",
    r"(?:north|south).\.",
    r"[-_.a-c]{2}[^\W_]{3}",
    r"\W{4}",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_values_match_their_pattern_and_differ(pattern: str) -> None:
    made = _issue(70, pattern=pattern).to_pylist()
    assert len(set(made)) == 70
    assert all(re.fullmatch(pattern, text) for text in made)


def test_all_of_a_small_pattern_is_found_and_no_more() -> None:
    assert sorted(_issue(6, pattern="[ab]|c[12x]|a|d").to_pylist()) == ["a", "b", "c1", "c2", "cx", "d"]
    with pytest.raises(GenerationError, match="admits 6 different values, and 7 are needed"):
        _issue(7, pattern="[ab]|c[12x]|a|d")


def test_an_anchor_inside_a_pattern_leaves_nothing_to_issue() -> None:
    with pytest.raises(GenerationError, match="admits 0 different values"):
        _issue(1, pattern=r"a$b")


def test_integers_match_their_pattern_as_they_are_written() -> None:
    made = _issue(900, pa.int64(), pattern="[0-9]{3}").to_pylist()
    assert sorted(made) == list(range(100, 1000))
    with pytest.raises(GenerationError, match="admits 900 different values, and 901 are needed"):
        _issue(901, pa.int64(), pattern="[0-9]{3}")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [(r"(a)\1", "back-references"), (r"a(?=b)b", "look-arounds"), (r"(?i)a", "flags"), (r"\ba", "word boundaries")],
)
def test_what_a_pattern_cannot_say_is_refused_in_words(pattern: str, said: str) -> None:
    with pytest.raises(GenerationError, match=said):
        _issue(1, pattern=pattern)


def test_a_constraint_on_the_pattern_is_followed() -> None:
    column = Column("zip", Kind.IDENTIFIER)
    schema = Schema((column,), ("pattern(zip, '[0-9]{5}')",))
    assert with_pattern(column, schema).pattern == "[0-9]{5}"
    with pytest.raises(SchemaError, match="keep one"):
        with_pattern(Column("zip", Kind.IDENTIFIER, pattern="x"), schema)


def test_other_providers_of_faker_serve_and_unknown_ones_are_refused() -> None:
    made = _issue(200, provider="company")
    assert len(made.unique()) == 200
    assert made.equals(_issue(200, provider="company"))
    with pytest.raises(SchemaError, match="did you mean 'email'"):
        _issue(1, provider="emial")
    with pytest.raises(GenerationError, match=r"gave \d+ different values for column 'x', and 2,000 are needed"):
        _issue(2_000, provider="color_name")


@pytest.mark.parametrize(
    ("name", "values", "provider"),
    [
        ("contact", ["a.b@c.de", "x@y.org"], "email"),
        ("key", ["123e4567-e89b-12d3-a456-426614174000"], "uuid"),
        ("account", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"], "iban"),
        ("account", ["DE89 3704 0044 0532 0130 01", "GB82WEST12345698765433"], None),
        ("paid_with", ["4111 1111 1111 1111", "5500005555555559"], "credit_card"),
        ("host", ["192.168.0.1", "8.8.8.8"], "ip"),
        ("host", ["2001:db8::1", "::1"], "ip"),
        ("homepage", ["https://x.org/a", "http://y.com"], "url"),
        ("nr", ["123-45-6789"], "ssn"),
        ("mobile", ["0171 2345678", "01712345678"], "phone"),
        ("contact", ["+49 171 2345678", "(212) 555-0173", "212-555-0173"], "phone"),
        ("code", ["0171234", "0171235"], None),
        ("day", ["2024-01-01", "2024-01-02"], None),
        ("amount", ["1234.567.890", "12.5"], None),
        ("firstName", ["Ada", "Grace"], "first_name"),
        ("customer_last_name", ["Lovelace", "O'Brien"], "last_name"),
        ("name", ["Ada Lovelace", "Grace B. Hopper"], "name"),
        ("name", ["sofa", "chair"], None),
        ("patient_name", ["ada lovelace", "Hopper, Grace"], "name"),
        ("file_name", ["a.txt", "b.txt"], None),
        ("street", ["12 Main Street", "4 Rue Longue"], "address"),
        ("address", ["north", "south"], None),
        ("id", [5, 6, 7, 4], "sequence"),
        ("id", [5, 6, 7, 9], None),
        ("phone", [491712345678, 491712345679, 491712345611], "phone"),
        ("age", [30, 31, 31, 32], None),
        ("empty", pa.array([None, None], pa.string()), None),
        ("ratio", [0.5, 0.7], None),
    ],
)
def test_columns_are_recognised(name: str, values: Any, provider: str | None) -> None:
    assert recognise(name, pa.array(values)) == provider
    assert recognise(name, pa.chunked_array([pa.array(values)])) == provider


PARTS = [
    {"provider": "email"},
    {"provider": "text"},
    {"provider": "uuid"},
    {"provider": "credit_card"},
    {"provider": "company"},
    {"provider": "sequence"},
    {"pattern": r"[A-Z]{2}-\d{4}"},
    {"pattern": r"^\d{3}(-\d{2})?$"},
    {"pattern": r"(a?b?c?d?e?f?g?h?i?|[a-z]{2})"},  # one text in several ways
    {"pattern": r"[0-9a-f]{32}"},  # more than an int64 can number
    {"physical": pa.int32()},
    {"physical": pa.int64(), "pattern": "[0-9]{4}"},
    {"physical": pa.date32()},
    {"physical": pa.dictionary(pa.int32(), pa.string()), "provider": "iban"},
]


@pytest.mark.parametrize("facts", PARTS, ids=str)
def test_parts_issued_by_themselves_share_no_value(facts: dict[str, Any]) -> None:
    facts = dict(facts)
    kind = facts.pop("physical", pa.string())
    column = Column("x", role=Role.KEY, **{"kind": Kind.IDENTIFIER, **facts})
    in_order = goes_in_order(column, kind)
    assert in_order == (facts.get("provider") == "company" or facts.get("pattern") in (PARTS[8]["pattern"], "[0-9]{4}"))
    taken: dict[str, None] = {}
    made = []
    for start in (0, 100, 200):
        rng = np.random.default_rng([1, start])
        issue = Issue(range(start, start + 100), 300, (1,), rng, taken=taken if in_order else {})
        made += reissue(column, kind, issue).to_pylist()
    assert len(set(made)) == 300


def test_nulls_of_parts_add_up_to_their_rate() -> None:
    column = Column("x", kind=Kind.TEXT)
    parts = [Issue(range(at, at + 10), 1_000, (0,), np.random.default_rng(at)) for at in range(0, 1_000, 10)]
    assert sum(reissue(column, pa.string(), part, null_rate=0.123).null_count for part in parts) == 123


@pytest.mark.parametrize("size", [1, 2, 3, 97, 10_000, 10_001, 65_537, 100_000])
def test_a_permutation_gives_each_place_once(size: int) -> None:
    places = permuted(np.arange(size), size, (3, 1))
    assert np.array_equal(np.sort(places), np.arange(size))
    assert np.array_equal(places[size // 2 :], permuted(np.arange(size // 2, size), size, (3, 1)))
    if size > 100:
        assert not np.array_equal(places, permuted(np.arange(size), size, (3, 2)))
        assert abs(np.corrcoef(np.arange(size), places)[0, 1]) < 5 / np.sqrt(size)


def test_a_permutation_of_a_huge_set_spreads_its_places() -> None:
    places = permuted(np.arange(100_000), 2**62, (7,))
    assert len(np.unique(places)) == 100_000
    assert np.all((places >= 0) & (places < 2**62))
    counts = np.histogram(places, bins=100, range=(0, 2**62))[0]
    assert np.sum((counts - 1_000) ** 2 / 1_000) < 160  # χ² of 99 degrees of freedom passes that once in 10,000


def test_a_million_identifiers_take_seconds() -> None:
    started = time.perf_counter()
    for facts in ({"provider": "sequence"}, {"provider": "uuid"}, {"provider": "email"}, {"pattern": r"[A-Z]{3}\d{6}"}):
        assert len(_issue(1_000_000, **facts)) == 1_000_000
    assert time.perf_counter() - started < 60
