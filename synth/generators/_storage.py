"""A fitted model as a folder of `model.json` and `arrays.npz`. Loading runs no code: no pickle, no class paths."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synth.data.schema import Schema
from synth.errors import DataError
from synth.folder import new_folder, write
from synth.generators._fitted import Fitted
from synth.generators.base import Generator

FORMAT = 1
FILES = ("model.json", "arrays.npz")


def serialise(model: Generator) -> dict[str, bytes]:
    """The model's files, by name: the same model gives the same bytes."""
    fitted = model.fitted  # raises before fit
    state, arrays = model._state()
    document = {
        "format": FORMAT,
        "generator": model.name,
        "params": {name: _plain(value) for name, value in model.get_params().items()},
        "schema": fitted.schema.to_dict(),
        "layout": _layout_text(fitted.layout),
        "learned_schema": fitted.learned_schema.to_dict(),
        "learned_layout": _layout_text(fitted.learned_layout),
        "null_rates": fitted.null_rates,
        "seen": fitted.seen,
        "frame": fitted.frame,
        "gives_table": fitted.gives_table,
        "rows": fitted.rows,
        "seed": fitted.seed,
        "state": state,
    }
    if model.receipt is not None:
        document["privacy"] = model.receipt.to_dict()
    if model.judging is not None:
        document["judging"], more = model.judging.state()
        arrays = {**arrays, **more}
    buffer = io.BytesIO()
    np.savez(buffer, **dict(sorted(arrays.items())))  # type: ignore[arg-type]
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {"model.json": text.encode(), "arrays.npz": buffer.getvalue()}


def digest(model: Generator) -> str:
    """SHA-256 (hex) over the model's files in name order."""
    return _digest(serialise(model))


def _digest(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(hashlib.sha256(files[name]).digest())
    return total.hexdigest()


def save(model: Generator, path: str | Path) -> None:
    """Write the model's folder whole or not at all, in place of an older model there. Raises DataError where it cannot be."""
    files = serialise(model)
    with new_folder(path, mark="model.json", keep=False) as folder:
        for name, content in files.items():
            write(folder / name, content)


def load(path: str | Path, *, method: type[Generator] | None = None) -> Generator:
    """Read a saved model. Raises DataError where the folder is not one, or was written by a newer format.

    method: the model's class, for one that is not among `synth.generators.names()`.
    """
    folder = Path(path)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} is not a saved model: {missing[0]} is missing; make one with `synth fit`")
    try:
        document = json.loads((folder / "model.json").read_bytes())
        content = io.BytesIO((folder / "arrays.npz").read_bytes())  # from memory: numpy leaves a bad file open
        with zipfile.ZipFile(content) as archive:
            if damaged := archive.testzip():  # numpy does not compare the checksums
                raise zipfile.BadZipFile(f"the checksum of {damaged} does not fit")
        content.seek(0)
        with np.load(content, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, RecursionError, zipfile.BadZipFile, zlib.error) as problem:
        raise _damaged(folder, problem) from problem
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        document = document if isinstance(document, dict) else {}
        raise DataError(f"{folder} has model format {document.get('format')!r}; this version reads format {FORMAT}")
    try:
        return _restored(folder, document, arrays, method)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, pa.ArrowException) as problem:
        raise _damaged(folder, problem) from problem


def _damaged(folder: Path, problem: Exception) -> DataError:
    said = " ".join(str(problem).split())[:160]
    return DataError(f"{folder} cannot be read as a model ({type(problem).__name__}: {said}): it is damaged; fit it again")


def _restored(folder: Path, document: dict[str, Any], arrays: dict[str, Any], method: type[Generator] | None) -> Generator:
    from synth.generators import by_name

    if method is not None and method.name != document["generator"]:
        raise DataError(
            f"{folder} holds a model of {document['generator']!r}, not of {method.name!r}; load it without `method`"
        )
    model = (method or by_name(document["generator"]))(**{k: _unplain(v) for k, v in document["params"].items()})
    fitted = Fitted(
        schema=Schema.from_dict(document["schema"]),
        layout=_layout(document["layout"]),
        learned_schema=Schema.from_dict(document["learned_schema"]),
        learned_layout=_layout(document["learned_layout"]),
        null_rates=document["null_rates"],
        seen={name: (low, high) for name, (low, high) in document.get("seen", {}).items()},
        frame=document["frame"],
        gives_table=document["gives_table"],
        rows=document["rows"],
        seed=document["seed"],
    )
    model._restore(document["state"], arrays, fitted.template())
    model.__dict__["_fitted"] = fitted
    if "privacy" in document:
        from synth.generators._private import Receipt

        model.__dict__["_receipt"] = Receipt.from_dict(document["privacy"])
    if "judging" in document:
        from synth.generators._judging import Judging

        model.__dict__["_judging"] = Judging.restore(document["judging"], arrays)
    return model


def _layout_text(layout: pa.Schema) -> str:
    return base64.b64encode(layout.serialize().to_pybytes()).decode()


def _layout(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _unplain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
