"""What a table is: columns, each with a kind, a role and its legal values.

A `Schema` is a frozen value, checked when it is made; later code trusts it. It is inferred from a table
(`synth.data.inference`), overridden by a `schema.yaml` (`synth.data.declaration`), and travels with every model,
run and export.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from synth.errors import SchemaError, did_you_mean


class Kind(StrEnum):
    """What the values of a column are."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    CATEGORICAL = "categorical"
    ORDINAL = "ordinal"  # categories with an order: `categories` lists them from low to high
    BOOLEAN = "boolean"
    DATETIME = "datetime"  # a date, or a timestamp with or without a zone
    IDENTIFIER = "identifier"  # never learned: re-issued
    TEXT = "text"  # never learned: re-issued as placeholder text

    @property
    def is_number(self) -> bool:
        """Whether the values lie on a line: integers, decimals and moments in time."""
        return self in (Kind.INTEGER, Kind.DECIMAL, Kind.DATETIME)

    @property
    def is_category(self) -> bool:
        """Whether the values come from a finite list."""
        return self in (Kind.CATEGORICAL, Kind.ORDINAL, Kind.BOOLEAN)


class Role(StrEnum):
    """What a column is for."""

    FEATURE = "feature"
    TARGET = "target"
    SENSITIVE = "sensitive"
    KEY = "key"  # names the row: re-issued unique
    SUBJECT = "subject"  # names the person a row is about: splits keep its rows together; re-issued
    DROPPED = "dropped"  # read, then left out of everything made


Category = str | int | float | bool
SHOWN = 6  # categories of a column in its repr
TIME_UNITS = ("day", "hour", "minute", "second", "millisecond", "microsecond", "nanosecond")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, what it holds, what it is for, and which values are legal."""

    name: str
    kind: Kind
    role: Role = Role.FEATURE
    nullable: bool = False
    categories: tuple[Category, ...] | None = None  # legal values of a category, in order
    minimum: float | int | str | None = None  # legal bounds of a number; ISO 8601 text for moments in time
    maximum: float | int | str | None = None
    decimals: int | None = None  # digits after the point that a decimal is written with (17: as many as a double has)
    unit: str | None = None  # the finest step of a datetime, one of TIME_UNITS
    provider: str | None = None  # how an identifier is re-issued: sequence, uuid, pattern, name, email, phone, ...
    pattern: str | None = None  # a regular expression that every value matches in full
    declared: tuple[str, ...] = ()  # which of these facts a person declared; the rest was read off the data
    why: str = ""  # how the kind and role were decided, in words
    read_off_data: tuple[str, ...] = ()  # which facts of a draft were read off the data, and not confirmed to be public since

    def __post_init__(self) -> None:
        if not self.name:
            raise SchemaError("a column has an empty name; give every column a name")
        object.__setattr__(self, "kind", member_of(Kind, self.kind, f"kind of column {self.name!r}"))
        object.__setattr__(self, "role", member_of(Role, self.role, f"role of column {self.name!r}"))
        if self.categories is not None:
            object.__setattr__(self, "categories", tuple(self.categories))
            if len(set(self.categories or ())) != len(self.categories or ()):
                raise SchemaError(f"column {self.name!r} lists a category twice; list each legal value once")
        if self.kind.is_category and self.kind is not Kind.BOOLEAN and not self.categories:
            raise SchemaError(f"column {self.name!r} is {self.kind} but lists no categories; list its legal values")
        if self.unit is not None and self.unit not in TIME_UNITS:
            raise SchemaError(f"column {self.name!r}: unit {self.unit!r} is not one of {', '.join(TIME_UNITS)}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:  # type: ignore[operator]
            raise SchemaError(f"column {self.name!r}: minimum {self.minimum} is above maximum {self.maximum}")

    @property
    def legal(self) -> tuple[Category, ...]:
        """The values of a category, by code: false and true for a boolean, else those listed; none for what is no category."""
        return (False, True) if self.kind is Kind.BOOLEAN else (self.categories or ())

    @property
    def is_reissued(self) -> bool:
        """Whether new values are made for it rather than learned: keys, subjects, identifiers, free text."""
        return self.role in (Role.KEY, Role.SUBJECT) or self.kind in (Kind.IDENTIFIER, Kind.TEXT)

    @property
    def is_learned(self) -> bool:
        """Whether a generator sees its values."""
        return self.role is not Role.DROPPED and not self.is_reissued

    def __repr__(self) -> str:
        facts = {key: value for key, value in self.to_dict().items() if key not in ("name", "kind", "why")}
        if self.role is Role.FEATURE:
            del facts["role"]
        if not self.nullable:
            del facts["nullable"]
        for key, value in facts.items():
            many = isinstance(value, list) and len(value) > SHOWN
            facts[key] = f"[{', '.join(map(repr, value[:SHOWN]))}, … {len(value):,} in all]" if many else repr(value)
        return f"Column({', '.join([repr(self.name), str(self.kind), *(f'{key}={said}' for key, said in facts.items())])})"

    def to_dict(self) -> dict[str, Any]:
        """The column as plain JSON values; facts that are not set are left out."""
        out: dict[str, Any] = {}
        for key, value in asdict(self).items():
            if value is None or (key in ("declared", "why", "read_off_data") and not value):
                continue
            out[key] = list(value) if isinstance(value, tuple) else (str(value) if isinstance(value, StrEnum) else value)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Column:
        """The inverse of `to_dict`. Raises SchemaError for a key it does not know."""
        if not isinstance(data, Mapping):
            raise SchemaError(
                f"a column of the schema is {data!r}; write `columns` as a mapping, for instance {{age: {{kind: integer}}}}"
            )
        known = [f.name for f in fields(cls)]
        for key in data:
            if key not in known:
                raise SchemaError(f"column {data.get('name', '?')!r} has an unknown key {key!r}{did_you_mean(key, known)}")
        values = dict(data)
        for key in ("categories", "declared", "read_off_data"):
            if values.get(key) is not None:
                values[key] = tuple(values[key])
        return cls(**values)


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in order, and the constraints that its rows keep.

    `constraints` holds their text, as in a `schema.yaml`: "start <= end", "total = a + b", "unique(id)",
    "pattern(zip, '[0-9]{5}')", "combinations(city, country)"; `synth.data.constraints` parses and checks them.
    """

    columns: tuple[Column, ...]
    constraints: tuple[str, ...] = ()
    time: str | None = None  # the column that orders rows in time, for splits
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        for column in self.columns:
            if column.name in self._by_name:
                raise SchemaError(f"column name {column.name!r} appears twice; give every column its own name")
            self._by_name[column.name] = column
        targets = [c.name for c in self.columns if c.role is Role.TARGET]
        if len(targets) > 1:
            raise SchemaError(f"{len(targets)} columns have the role target ({', '.join(targets)}); keep one")
        subjects = [c.name for c in self.columns if c.role is Role.SUBJECT]
        if len(subjects) > 1:
            raise SchemaError(f"{len(subjects)} columns have the role subject ({', '.join(subjects)}); keep one")
        if self.time is not None:
            self.column(self.time)

    def __repr__(self) -> str:
        parts = [repr(column) for column in self.columns]
        parts += [f"constraints={list(self.constraints)}"] if self.constraints else []
        parts += [f"time={self.time!r}"] if self.time is not None else []
        return "Schema(\n  " + ",\n  ".join(parts) + "\n)"

    # reading -------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self.columns)

    def column(self, name: str) -> Column:
        """The column of that name. Raises SchemaError, with the nearest name, if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise SchemaError(f"no column {name!r}{did_you_mean(name, self.names)}") from None

    @property
    def target(self) -> Column | None:
        """The column that models are to predict, or None."""
        return next((c for c in self.columns if c.role is Role.TARGET), None)

    @property
    def subject(self) -> Column | None:
        """The column that names the person a row is about, or None."""
        return next((c for c in self.columns if c.role is Role.SUBJECT), None)

    @property
    def sensitive(self) -> tuple[Column, ...]:
        """The sensitive columns, in the schema's order."""
        return tuple(c for c in self.columns if c.role is Role.SENSITIVE)

    @property
    def learned(self) -> tuple[Column, ...]:
        """The columns a generator sees."""
        return tuple(c for c in self.columns if c.is_learned)

    @property
    def made(self) -> tuple[Column, ...]:
        """The columns of a synthetic table: all but the dropped ones."""
        return tuple(c for c in self.columns if c.role is not Role.DROPPED)

    # changing: always a new value ----------------------------------------------------------------------------------

    def with_columns(self, *columns: Column) -> Schema:
        """The same schema with these columns in place of those of the same name."""
        new = {column.name: column for column in columns}
        for name in new:
            self.column(name)
        return replace(self, columns=tuple(new.get(c.name, c) for c in self.columns))

    def with_roles(self, *, target: str | None = None, sensitive: str | Iterable[str] | None = None) -> Schema:
        """The same schema with these columns as target and sensitive ones; None leaves that role as it is.

        Raises SchemaError for an unknown column and for one that is named as both.
        """
        sensitive = (sensitive,) if isinstance(sensitive, str) else None if sensitive is None else tuple(sensitive)
        if isinstance(sensitive, tuple) and target is not None and target in sensitive:
            raise SchemaError(f"column {target!r} is named both target and sensitive; name it once")
        roles: dict[str, Role] = {}
        if target is not None:
            if self.target is not None:
                roles[self.target.name] = Role.FEATURE
            roles[self.column(target).name] = Role.TARGET
        if sensitive is not None:
            for old in self.sensitive:
                roles.setdefault(old.name, Role.FEATURE)
            for name in sensitive:
                roles[self.column(name).name] = Role.SENSITIVE
        return self.with_columns(*(replace(self.column(name), role=role) for name, role in roles.items()))

    def select(self, names: Iterable[str]) -> Schema:
        """The same schema with only these columns, in this order, and the constraints that name no other."""
        from synth.data.constraints import columns_of  # parsing a constraint needs this module

        kept = tuple(self.column(name) for name in names)
        have = {column.name for column in kept}
        constraints = tuple(text for text in self.constraints if set(columns_of(text, self.names)) <= have)
        return Schema(kept, constraints, self.time if self.time in have else None)

    # writing -------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The schema as plain JSON values, as in a run's `schema.json`."""
        out: dict[str, Any] = {"columns": [column.to_dict() for column in self.columns]}
        if self.constraints:
            out["constraints"] = list(self.constraints)
        if self.time is not None:
            out["time"] = self.time
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Schema:
        """The inverse of `to_dict`. Raises SchemaError for what contradicts itself."""
        return cls(
            tuple(Column.from_dict(column) for column in data["columns"]),
            tuple(data.get("constraints", ())),
            data.get("time"),
        )

    def digest(self) -> str:
        """SHA-256 (hex) of the schema as canonical JSON; how facts were decided (`why`) does not count."""
        plain = self.to_dict()
        for column in plain["columns"]:
            column.pop("why", None)
        return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def member_of(kind: type[Any], value: Any, what: str) -> Any:
    """The member of Kind or Role that a value names. Raises SchemaError, with the nearest one, where it names none."""
    try:
        return kind(value)
    except ValueError:
        names = [str(member) for member in kind]
        raise SchemaError(f"{what} is {value!r}{did_you_mean(str(value), names)}") from None
