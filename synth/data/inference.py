"""Reading a schema off a table: which kind and role each column has, which values are legal, and why.

    infer(rows)   kind by physical type, then by what the values look like; role by what the caller named
    cover(schema, rows)   the same schema, its read-off facts widened until these rows fit

Every decision is written into `Column.why` in plain words. What a person declares wins over what is read here
(`synth.data.declaration`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pyarrow as pa

from synth.data.facts import facts
from synth.data.kinds import Decision, check_fits, decide
from synth.data.schema import Column, Kind, Role, Schema, member_of
from synth.errors import DataError, SchemaError, did_you_mean

Names = str | Iterable[str] | None


def infer(
    arrow: pa.Table,
    *,
    target: str | None = None,
    sensitive: Names = (),
    subject: str | None = None,
    key: Names = None,
    time: str | None = None,
    drop: Names = (),
    kinds: Mapping[str, str] | None = None,
) -> Schema:
    """Decide kind, role and legal values of every column, each with its reason in `Column.why`.

    arrow: rows as `synth.data.frames.to_arrow` gives them.
    target, sensitive, subject, key, drop: the columns with those roles. time: the column that orders the rows.
    kinds: kinds that are declared rather than decided, by column.
    Raises DataError for a column that cannot be learned from (all null, infinite, mixed, nested), SchemaError for a column that
    is not there or is named for two roles, and for a declared kind that the values cannot have.
    """
    roles = named_roles(target=target, sensitive=sensitive, subject=subject, key=key, drop=drop)
    kinds = dict(kinds or {})
    for name in [*roles, *kinds, *([time] if time is not None else [])]:
        if name not in arrow.column_names:
            raise SchemaError(f"no column {name!r}{did_you_mean(name, arrow.column_names)}")
    if not len(arrow):
        raise DataError("the table has a header and no rows; give one with rows")
    columns = [
        _column(name, arrow.column(name), roles.get(name), kinds.get(name), orders=name == time) for name in arrow.column_names
    ]
    schema = Schema(tuple(columns), time=time)
    if time is not None and not schema.column(time).kind.is_number:
        raise SchemaError(
            f"column {time!r} is {schema.column(time).kind}, so rows cannot be ordered in time by it; "
            "name a column of dates, moments or numbers"
        )
    return schema


def named_roles(
    *, target: str | None = None, sensitive: Names = (), subject: str | None = None, key: Names = None, drop: Names = ()
) -> dict[str, Role]:
    """The role of each column that was named. Raises SchemaError for a column named twice."""
    roles: dict[str, Role] = {}
    given: list[tuple[Role, Names]] = [
        (Role.TARGET, target),
        (Role.SENSITIVE, sensitive),
        (Role.SUBJECT, subject),
        (Role.KEY, key),
        (Role.DROPPED, drop),
    ]
    for role, names in given:
        for name in [names] if isinstance(names, str) else list(names or ()):
            if roles.get(name, role) is not role:
                raise SchemaError(f"column {name!r} is named both {roles[name]} and {role}; name it once")
            roles[name] = role
    return roles


def reassign(
    schema: Schema,
    arrow: pa.Table,
    *,
    target: str | None = None,
    sensitive: Names = None,
    subject: str | None = None,
    key: Names = None,
    drop: Names = None,
    time: str | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Schema:
    """The schema with these roles and kinds given anew; None leaves a role with the columns that have it.

    The kind of a column whose role changes is decided again, unless a person declared something about it: a column of whole
    numbers that becomes the target of a classification becomes a category, for instance.
    """
    given = {
        Role.TARGET: target,
        Role.SENSITIVE: sensitive,
        Role.SUBJECT: subject,
        Role.KEY: key,
        Role.DROPPED: drop,
    }
    named = named_roles(target=target, sensitive=sensitive, subject=subject, key=key, drop=drop)
    kinds = dict(kinds or {})
    for name in [*named, *kinds, *([time] if time is not None else [])]:
        schema.column(name)
    changed = []
    for column in schema.columns:
        freed = column.role in given and given[column.role] is not None
        role = named.get(column.name, Role.FEATURE if freed else column.role)
        if role is column.role and column.name not in kinds:
            continue
        values, orders = arrow.column(column.name), column.name == (time or schema.time)
        kind = kinds.get(column.name)
        if kind is None and set(column.declared) - {"role"}:
            changed.append(replace(column, role=role, declared=tuple(dict.fromkeys((*column.declared, "role")))))
        else:
            changed.append(_column(column.name, values, role if role is not Role.FEATURE else None, kind, orders=orders))
    return replace(schema.with_columns(*changed), time=schema.time if time is None else time)


def cover(schema: Schema, arrow: pa.Table) -> Schema:
    """The schema, with the facts that were read off other rows widened until these rows fit too.

    Declared facts stay as they are. Raises DataError for a column whose values cannot be of the schema's kind.
    """
    return schema.with_columns(*(_covering(column, arrow.column(column.name)) for column in schema.columns))


def _covering(column: Column, values: pa.ChunkedArray) -> Column:
    if column.role is Role.DROPPED or values.null_count == len(values):
        return column if "nullable" in column.declared or not len(values) else replace(column, nullable=True)
    check_fits(column.name, column.kind, values, DataError)
    seen = facts(column.kind, values)
    wider: dict[str, object] = {}
    if "nullable" not in column.declared and values.null_count:
        wider["nullable"] = True
    if "categories" not in column.declared and column.categories is not None and "categories" in seen:
        known = set(column.categories)
        new = [level for level in seen["categories"] if level not in known]
        wider["categories"] = (*column.categories, *new)
    for bound, wide in (("minimum", min), ("maximum", max), ("decimals", max)):
        held, found = getattr(column, bound), seen.get(bound)
        if bound not in column.declared and held is not None and found is not None:
            wider[bound] = wide(held, found)
    return replace(column, **wider)  # type: ignore[arg-type]


def _column(name: str, values: pa.ChunkedArray, role: Role | None, declared: str | None, *, orders: bool) -> Column:
    if role is Role.DROPPED:
        return Column(name, Kind.TEXT, role, nullable=bool(values.null_count), declared=("role",), why="dropped: not looked at")
    if declared is not None:
        kind = member_of(Kind, declared, f"kind of column {name!r}")
        check_fits(name, kind, values, SchemaError)
        decision = Decision(kind, f"declared {kind}")
    else:
        decision = decide(name, values, role, orders=orders)
    marks = tuple(mark for mark, is_declared in (("kind", declared is not None), ("role", role is not None)) if is_declared)
    return Column(
        name,
        decision.kind,
        role or decision.role,
        nullable=bool(values.null_count),
        provider=decision.provider,
        declared=marks,
        why=decision.why,
        **facts(decision.kind, values),
    )
