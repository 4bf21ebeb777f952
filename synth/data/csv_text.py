"""Reading CSV: the delimiter is found, every cell is read as text, and each column gets the one type that all its cells have.

Reading text first keeps what a guess from the first block loses: the leading zeros of codes, whole numbers too long for 64
bits, and the row of the one cell that does not fit.
"""

from __future__ import annotations

import codecs
import csv
import re
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from synth.data.frames import check_names
from synth.errors import DataError

# A cell that holds one of these is null, quoted or not. "None" is not among them: it is a legal value of real tables.
NULLS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "Null", "<NA>", "?")
DELIMITERS = (",", ";", "\t", "|")
SAMPLE = 64 * 1024  # bytes in which the header is looked for
BLOCK = 8 * 1024 * 1024  # bytes parsed at a time; no row is longer

_TRUE = pa.array(["true", "True", "TRUE"])
_BOOLEAN = pa.array(["true", "True", "TRUE", "false", "False", "FALSE"])
_CODE = r"^[+-]?0[0-9]"  # a number with a leading zero is a code
_LONG = r"^[+-]?[0-9]{19,}$"  # too long for 64 bits, and for the digits of a double
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_csv(path: Path) -> pa.Table:
    """The rows of a CSV file. Raises DataError, naming the line or byte, for a file that is not one table of text."""
    delimiter, names, skip = header_of(path)
    check_names(names)
    try:
        table = pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(column_names=names, skip_rows=skip, block_size=BLOCK),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=list(NULLS),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as problem:
        _check_encoding(path)
        _check_widths(path, delimiter, len(names))
        raise DataError(f"{path} cannot be read as CSV: {' '.join(str(problem).split())[:200]}") from problem
    if not len(table):
        raise DataError(f"{path} has a header and no rows; give a file with rows")
    return pa.table([_typed(values, delimiter) for values in table.columns], names=names)


def header_of(path: Path) -> tuple[str, list[str], int]:
    """The delimiter, the column names, and how many lines come before the first row."""
    with path.open("rb") as source:
        start = source.read(SAMPLE)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path} is UTF-16 text (its first bytes say so); save it as UTF-8")
    text = start.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    preferred = ("\t", *DELIMITERS) if path.suffix.lower() == ".tsv" else DELIMITERS
    found: tuple[str, list[str], int] = (",", [], 0)
    for delimiter in preferred:
        reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
        names = next((row for row in islice(reader, 100) if row), [])
        if len(names) > len(found[1]):
            found = (delimiter, [name.strip() for name in names], reader.line_num)
    if any("\ufffd" in name for name in found[1]):
        _check_encoding(path)
    if any("\0" in name for name in found[1]):
        raise DataError(f"{path} has zero bytes in its header: it is no text, or UTF-16 without its mark; save it as UTF-8")
    if not found[1]:
        raise DataError(f"{path} holds blank lines only; give a file with a header and rows")
    return found


def _check_encoding(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    before = lines = 0
    with path.open("rb") as source:
        while block := source.read(BLOCK):
            kept = len(decoder.getstate()[0])
            try:
                decoder.decode(block)
            except UnicodeDecodeError as problem:
                position = before - kept + problem.start
                line = lines + problem.object[: problem.start].count(b"\n") + 1
                raise DataError(
                    f"{path} is no UTF-8 text: byte {position:,} (line {line:,}) is 0x{problem.object[problem.start]:02x}; "
                    "save it as UTF-8, for instance: iconv -f latin1 -t utf-8"
                ) from problem
            before += len(block)
            lines += block.count(b"\n")


def _check_widths(path: Path, delimiter: str, expected: int) -> None:
    with path.open(encoding="utf-8-sig", newline="") as source:
        reader = csv.reader(source, delimiter=delimiter)
        for row in reader:
            if row and len(row) != expected:
                raise DataError(
                    f"{path}, line {reader.line_num:,} has {len(row)} columns where the header has {expected}; "
                    "correct the line (a value that holds the delimiter must be in quotes)"
                )


# types --------------------------------------------------------------------------------------------------------------


def _typed(values: pa.ChunkedArray, delimiter: str) -> pa.ChunkedArray:
    """The column in the one type that all its cells have; as text where there is none."""
    if values.null_count == len(values):
        return values
    typed = _parsed(values, delimiter)
    if typed is not None:
        return typed
    trimmed = pc.utf8_trim_whitespace(values)
    if trimmed.equals(values):
        return values
    trimmed = pc.if_else(pc.is_in(trimmed, pa.array(NULLS)), pa.scalar(None, pa.string()), trimmed)
    typed = _parsed(trimmed, delimiter)
    if typed is not None:
        return typed
    # "a, b, c": where every cell starts with a space, the space belongs to the delimiter
    return trimmed if pc.all(pc.starts_with(values, " ")).as_py() else values


def _parsed(values: pa.ChunkedArray, delimiter: str) -> pa.ChunkedArray | None:
    if values.null_count == len(values):
        return values
    first = values.drop_null()[0].as_py()
    if first in _BOOLEAN.to_pylist():
        return _booleans(values)
    if _DATE.match(first):
        return _moments(values)
    whole = _cast(values, pa.int64())
    if whole is not None:
        canonical = pc.all(pc.equal(whole.cast(pa.string()), values)).as_py()
        return whole if canonical or not _any(values, _CODE) else None
    numbers = _cast(values, pa.float64())
    if numbers is None and delimiter == ";" and not _any(values, r"\."):
        values = pc.replace_substring(values, ",", ".", max_replacements=1)
        numbers = _cast(values, pa.float64())
    return None if numbers is None or _any(values, _CODE) or _any(values, _LONG) else numbers


def _booleans(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    if not pc.all(pc.or_kleene(pc.is_in(values, _BOOLEAN), pc.is_null(values))).as_py():
        return None
    return pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), pc.is_in(values, _TRUE))


def _moments(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    kinds = [pa.date32(), *(pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("s", "ms", "us", "ns"))]
    return next((cast for kind in kinds if (cast := _cast(values, kind)) is not None), None)


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        return None


def _any(values: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, pattern)).as_py())
