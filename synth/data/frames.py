"""Frames in and out: pandas, polars and Arrow keep their dtypes, their order and their nulls.

Arrow holds what pandas and polars hold, except for a few pandas dtypes that share one Arrow type (`Int64` and `int64`, `object`
and `string`). Those are written into the metadata of the Arrow field, under `synth.dtype`, so that they survive a selection, a
model folder and a Parquet file. Three things are not kept, by intent: NaN in a column of floats is a null like any other; the
index of a pandas frame is not a column (call `reset_index()` to make it one); and Arrow's string views become large strings,
since Arrow itself can hardly compute with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.table import FrameKind, Table
from synth.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

DTYPE = b"synth.dtype"  # the metadata key of a field that holds its pandas dtype, as JSON


def as_table(data: Any, *, target: str | None = None, sensitive: str | Iterable[str] | None = None) -> Table:
    """A `Table` from a frame, a path or a `Table`, with these columns as target and sensitive ones.

    A `Table` keeps its schema, apart from the roles given here; for anything else the schema is inferred.
    Raises DataError for what is not a table, SchemaError for a column that is not there.
    """
    from synth.data.inference import reassign
    from synth.data.sources import read

    if isinstance(data, Table):
        if target is None and sensitive is None:
            return data
        return data.with_schema(reassign(data.schema, data.arrow, target=target, sensitive=sensitive))
    return read(data, target=target, sensitive=sensitive)


def to_arrow(frame: Any) -> tuple[pa.Table, FrameKind]:
    """The rows of an eager frame as an Arrow table, and the kind of frame they came from.

    Accepts pandas, polars and Arrow tables, every other eager frame that narwhals knows, and whatever speaks the Arrow
    C stream interface (these two come back as Arrow). Raises DataError for column names that are no text or appear twice,
    and for a column whose values Arrow cannot hold in one type.
    """
    import narwhals.stable.v2 as nw

    if isinstance(frame, (pa.Table, pa.RecordBatch)):
        table = frame if isinstance(frame, pa.Table) else pa.Table.from_batches([frame])
        return tidy(table), "arrow"
    if isinstance(frame, (nw.DataFrame, nw.LazyFrame)):
        frame = frame.to_native()
    if nw.dependencies.is_pandas_dataframe(frame):
        return tidy(_from_pandas(frame)), "pandas"
    if nw.dependencies.is_polars_dataframe(frame):
        return tidy(_from_polars(frame)), "polars"
    if nw.dependencies.is_into_dataframe(frame):
        return tidy(nw.from_native(frame, eager_only=True).to_arrow()), "arrow"
    if hasattr(frame, "__arrow_c_stream__"):
        return tidy(pa.table(frame)), "arrow"
    package = type(frame).__module__.split(".")[0]
    what = type(frame).__name__ if package == "builtins" else f"{package}.{type(frame).__name__}"
    step = "call collect() on it first" if hasattr(frame, "collect") else "give a path, or a pandas, polars or Arrow table"
    raise DataError(f"an object of type {what} is not a table that can be read; {step}")


def tidy(table: pa.Table) -> pa.Table:
    """The same rows in the one form that all later code relies on.

    NaN is null; each dictionary holds each level once; every field may be null; of the metadata only the dtype is kept.
    """
    check_names(table.column_names)
    arrays, fields = [], []
    for field, values in zip(table.schema, table.columns, strict=True):
        tidied = _tidy_column(values)
        kept = {key: value for key, value in (field.metadata or {}).items() if key == DTYPE}
        arrays.append(tidied)
        fields.append(pa.field(field.name, tidied.type, nullable=True, metadata=kept or None))
    return pa.table(arrays, schema=pa.schema(fields))


def check_names(names: Iterable[Any]) -> None:
    """Raise DataError for a column name that is no text, is empty, or appears twice."""
    seen: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        if not isinstance(name, str):
            raise DataError(
                f"column {position} has the name {name!r}, which is no text; "
                "turn the names into text first: df.columns = df.columns.astype(str)"
            )
        if not name.strip():
            raise DataError(
                f"column {position} has no name; give it one, or leave it out "
                "(a row index saved by pandas: write the file with index=False)"
            )
        if name in seen:
            raise DataError(f"column name {name!r} appears twice (columns {seen[name]} and {position}); rename one of them")
        seen[name] = position


def _tidy_column(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(values.type):
        nan = pc.is_nan(values)
        return pc.if_else(nan, pa.scalar(None, values.type), values) if pc.any(nan).as_py() else values
    if pa.types.is_string_view(values.type):
        return values.cast(pa.large_string())
    if not pa.types.is_dictionary(values.type):
        return values
    if values.num_chunks == 0 or isinstance(values.type.value_type, pa.BaseExtensionType):
        return values
    values = values.unify_dictionaries()
    levels = values.chunk(0).dictionary
    if levels.null_count or pc.count_distinct(levels).as_py() < len(levels):
        unique = pc.unique(levels.drop_null())
        moved = pc.index_in(levels, value_set=unique)
        chunks = [
            pa.DictionaryArray.from_arrays(
                moved.take(chunk.indices).cast(values.type.index_type), unique, ordered=values.type.ordered
            )
            for chunk in values.chunks
        ]
        return pa.chunked_array(chunks)
    return values


# pandas -------------------------------------------------------------------------------------------------------------


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    check_names(frame.columns)
    arrays, fields = [], []
    for name in frame.columns:
        series = frame[name]
        values = _array(series)
        arrays.append(values)
        fields.append(pa.field(name, values.type, metadata={DTYPE: json.dumps(_describe(series)).encode()}))
    return pa.table(arrays, schema=pa.schema(fields))


def _array(series: pd.Series) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as problem:
        raise DataError(_why_not(series, problem)) from problem


def _why_not(series: pd.Series, problem: Exception) -> str:
    """Name the first value whose type is not that of the first one."""
    import pandas as pd

    first: tuple[int, Any] | None = None
    if pd.api.types.is_object_dtype(series.dtype):
        for row, value in enumerate(series, start=1):
            if value is None or value != value:
                continue
            if first is None:
                first = (row, value)
            elif type(value) is not type(first[1]):
                return (
                    f"column {series.name!r} mixes types: row {first[0]} holds {first[1]!r} ({type(first[1]).__name__}), "
                    f"row {row} holds {value!r} ({type(value).__name__}); make them one type, for instance with astype(str)"
                )
    reason = " ".join(str(problem).split())[:120]
    return f"column {series.name!r} of dtype {series.dtype} cannot be held as one type ({reason}); convert it, or leave it out"


def _describe(series: pd.Series) -> dict[str, Any]:
    """The dtype of a pandas column as JSON values."""
    import pandas as pd

    dtype = series.dtype
    if isinstance(dtype, pd.ArrowDtype):
        return {"dtype": "arrow"}
    if isinstance(dtype, pd.StringDtype):
        return {"dtype": "string", "storage": dtype.storage, "null": "NA" if dtype.na_value is pd.NA else "nan"}
    if isinstance(dtype, pd.CategoricalDtype):
        levels = pd.Series(dtype.categories)
        held = {"ordered": bool(dtype.ordered), "levels": _describe(levels)}
        plain = levels.dtype.kind in "iufb" and not isinstance(levels.dtype, pd.ArrowDtype)
        return {"dtype": "category", **held, **({"values": levels.tolist()} if plain else {})}
    if pd.api.types.is_object_dtype(dtype):
        nulls = series[series.isna()]
        null = "None" if nulls.empty or nulls.iloc[0] is None else "NA" if nulls.iloc[0] is pd.NA else "nan"
        return {"dtype": "object", "null": null}
    return {"dtype": str(dtype)}


def to_pandas(arrow: pa.Table) -> pd.DataFrame:
    """The rows as a pandas frame, each column in the dtype it came with.

    A column that did not come from pandas gets the dtype that keeps its values: integers and booleans with nulls become
    `Int64` and `boolean` rather than floats and objects.
    """
    import pandas as pd

    made = {}
    for field, values in zip(arrow.schema, arrow.columns, strict=True):
        noted = (field.metadata or {}).get(DTYPE)
        made[field.name] = _series(values, json.loads(noted) if noted else {})
    return pd.DataFrame(made, index=pd.RangeIndex(len(arrow)), columns=arrow.column_names)


def _series(values: Any, noted: dict[str, Any]) -> Any:
    import pandas as pd

    dtype = noted.get("dtype")
    if dtype == "category" or (dtype is None and pa.types.is_dictionary(values.type)):
        return _categorical(values, noted)
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    if dtype == "arrow":
        return pd.Series(pd.arrays.ArrowExtensionArray(plain))
    if dtype == "object":
        return pd.Series(_objects(plain, noted["null"]), dtype=object)
    if dtype == "string":
        return pd.Series(plain.to_pylist(), dtype=_string_dtype(noted))
    if dtype is None or (plain.null_count and _is_plain_integer_or_bool(dtype)):
        dtype = _nullable(plain.type) if plain.null_count else None
    if dtype is None:
        return plain.to_pandas()
    wanted = pd.api.types.pandas_dtype(dtype)
    if hasattr(wanted, "__from_arrow__"):
        return pd.Series(wanted.__from_arrow__(plain))
    return plain.to_pandas().astype(wanted)


def _categorical(values: Any, noted: dict[str, Any]) -> pd.Series:
    import pandas as pd

    if pa.types.is_dictionary(values.type):
        values = values.unify_dictionaries()
        levels = values.chunk(0).dictionary if values.num_chunks else pa.array([], values.type.value_type)
        ordered = bool(values.type.ordered)
        codes = np.asarray(
            pc.fill_null(pa.chunked_array([c.indices for c in values.chunks], values.type.index_type).cast(pa.int64()), -1)
        )
    else:
        levels = pa.array(noted["values"], values.type) if "values" in noted else pc.unique(values.drop_null())
        ordered = bool(noted.get("ordered", False))
        codes = np.asarray(pc.fill_null(pc.index_in(values, value_set=levels), -1))
    index = pd.Index(_series(pa.chunked_array([levels]), noted.get("levels", {})))
    taken: Any = codes  # an array, which some versions of the stubs do not know
    return pd.Series(pd.Categorical.from_codes(taken, categories=index, ordered=ordered))


def _objects(values: pa.ChunkedArray, null: str) -> np.ndarray:
    import pandas as pd

    out = np.empty(len(values), dtype=object)
    out[:] = values.to_pylist()
    if null != "None" and values.null_count:
        out[np.asarray(pc.is_null(values))] = np.nan if null == "nan" else pd.NA
    return out


def _string_dtype(noted: dict[str, Any]) -> Any:
    import pandas as pd

    if noted["null"] == "NA":
        return pd.StringDtype(noted["storage"])
    try:
        return pd.StringDtype(noted["storage"], na_value=np.nan)  # pandas 3's own `str`
    except TypeError:  # pandas 2.2 does not know it yet
        return object


def _is_plain_integer_or_bool(dtype: str) -> bool:
    return dtype == "bool" or dtype.startswith(("int", "uint"))


def _nullable(kind: pa.DataType) -> str | None:
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return str(kind).replace("uint", "UInt").replace("int", "Int")
    return None


# polars -------------------------------------------------------------------------------------------------------------


def _from_polars(frame: pl.DataFrame) -> pa.Table:
    import polars as pl

    for name, dtype in frame.schema.items():
        if dtype == pl.Object:
            raise DataError(f"column {name!r} holds Python objects (polars type Object); convert it, or leave it out")
    arrow = frame.to_arrow()
    for place, (name, dtype) in enumerate(frame.schema.items()):
        if isinstance(dtype, pl.Enum):  # polars before 2 marks an Enum in metadata of its own, not as an ordered dictionary
            levels = pa.array(dtype.categories.to_list(), pa.large_string())
            codes = arrow.column(place).combine_chunks().cast(pa.large_string())
            ordered = pa.DictionaryArray.from_arrays(pc.index_in(codes, value_set=levels), levels, ordered=True)
            arrow = arrow.set_column(place, pa.field(name, ordered.type), ordered)
    return arrow


def to_polars(arrow: pa.Table) -> pl.DataFrame:
    """The rows as a polars frame: dictionaries become `Categorical`, ordered ones `Enum`."""
    import polars as pl

    columns = []
    for field, values in zip(arrow.schema, arrow.columns, strict=True):
        if pa.types.is_dictionary(values.type):
            values = values.unify_dictionaries()
            plain = pl.Series(field.name, pl.from_arrow(values.cast(values.type.value_type)))
            if values.type.ordered and pa.types.is_string(values.type.value_type) | pa.types.is_large_string(
                values.type.value_type
            ):
                levels = values.chunk(0).dictionary.to_pylist() if values.num_chunks else []
                columns.append(plain.cast(pl.Enum(levels)))
            elif plain.dtype == pl.String:
                columns.append(plain.cast(pl.Categorical))
            else:
                columns.append(plain)
        else:
            columns.append(pl.Series(field.name, pl.from_arrow(values)))
    return pl.DataFrame(columns)
