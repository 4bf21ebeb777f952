"""What the originals of our compatibility metrics say of two samples: the figures that tests/metrics/test_compat.py quotes.

Run it once in each environment that holds an original; it prints what that environment can compute:

    pip install sdmetrics==0.11.1 "numpy<2" "pandas<2.2"      Column Shapes, Column Pair Trends, LogisticDetection
    pip install sdmetrics==0.27.0                             Column Pair Trends, LogisticDetection
    pip install mostlyai-qa==1.10.11                          accuracy
    synthcity 0.2.12's metrics/eval_statistical.py            AlphaPrecision: --synthcity FOLDER of its unpacked wheel
    TabSyn's eval/mle/mle.py with xgboost 3.2.0               --tabsyn FOLDER of its repository

It needs numpy, pandas and pyarrow beside the original, and the folder with the real tables in SYNTH_DATA. synthcity and TabSyn
are imported without the packages that these two files name but do not use here; TabSyn's `gpu_hist` is replaced by `hist`,
`OneHotEncoder(sparse=…)`, which is no longer there, by `sparse_output`, and its many threads by one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import sys
import types
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 2_000
CHANGED = 0.3  # the share of cells that the disturbed rows take from another row
SEED = 0  # of numpy's global generator, where an original draws from it
WELL_SCALED = ("age", "education_num", "hours_per_week", "race", "sex", "income")
TABLES = {"adult_train": "income", "default_credit": "default payment next month"}


def samples(table: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Training, holdout and "synthetic" rows of a table, ROWS each.

    A synthetic row is another real one, 30% of whose cells, column by column, were given to another synthetic row: margins
    stay, relations weaken. Texts that no training row has are replaced by its first row's, since some originals refuse them.
    """
    rng = np.random.default_rng(20_261_127)  # no two categories tie for the tenth place, where mostlyai-qa casts lots
    rows = rng.permutation(table.num_rows)
    train, holdout, other = (table.take(pa.array(rows[i * ROWS : (i + 1) * ROWS])) for i in range(3))
    columns = {}
    for name in other.column_names:
        source = np.arange(ROWS)
        moved = np.flatnonzero(rng.random(ROWS) < CHANGED)
        source[moved] = rng.permutation(moved)
        values, known = other.column(name).take(pa.array(source)).to_pylist(), train.column(name).to_pylist()
        if pa.types.is_string(other.schema.field(name).type):
            seen = set(known)
            values = [value if value in seen else known[0] for value in values]
        columns[name] = pa.array(values, type=other.schema.field(name).type)
    return train, holdout, pa.table(columns)


def categories(table: pa.Table, target: str) -> list[str]:
    """The columns that are categories: the texts and the target."""
    return [f.name for f in table.schema if pa.types.is_string(f.type) or f.name == target]


def sdmetrics(train: Any, synthetic: Any, names: list[str]) -> dict[str, float]:
    """Both properties of the quality report, and LogisticDetection."""
    from sdmetrics.reports.single_table import QualityReport
    from sdmetrics.single_table import LogisticDetection

    columns = {c: {"sdtype": "categorical" if c in names else "numerical"} for c in train.columns}
    report = QualityReport()
    report.generate(train.copy(), synthetic.copy(), {"columns": columns}, verbose=False)
    scores = dict(zip(*(report.get_properties()[c] for c in ("Property", "Score"))))
    np.random.seed(SEED)  # noqa: NPY002 - the original draws its folds from the global generator
    detection = LogisticDetection.compute(train.copy(), synthetic.copy(), {"columns": columns})
    figures = {**scores, "LogisticDetection": detection}
    if plain := {c: kind for c, kind in columns.items() if c in WELL_SCALED}:  # where L-BFGS converges
        np.random.seed(SEED)  # noqa: NPY002
        names = list(plain)
        figures["LogisticDetection, well scaled"] = LogisticDetection.compute(
            train[names], synthetic[names], {"columns": plain}
        )
    return {name: float(score) for name, score in figures.items()}


def mostlyai(train: Any, synthetic: Any, holdout: Any) -> dict[str, float]:
    """The accuracies of the report, by the functions that make them: the whole report takes minutes, and rounds."""
    import pandas as pd
    from mostlyai.qa import _accuracy, _sampling

    real = [_sampling.prepare_data_for_accuracy(df_tgt=part, setup="1:1") for part in (train, holdout)]
    kinds = real[0].dtypes.to_dict()
    other = _sampling.prepare_data_for_accuracy(df_tgt=synthetic, setup="1:1", ori_dtypes=kinds)
    cut, bins = _accuracy.bin_data(pd.concat(real, ignore_index=True), bins=10)
    pair = cut, _accuracy.bin_data(other, bins=bins)[0]
    names = {"univariate": "univariates", "bivariate": "bivariates", "trivariate": "trivariates"}
    found = {part: getattr(_accuracy, f"calculate_{name}")(*pair) for part, name in names.items()}
    figures = {part: float(table.accuracy.mean()) for part, table in found.items()}
    figures |= {f"{part}_max": float(table.accuracy_max.mean()) for part, table in found.items()}
    return {"overall": float(np.mean([figures[part] for part in names])), **figures}


def synthcity(folder: Path, train: Any, synthetic: Any, names: list[str]) -> dict[str, float]:
    """AlphaPrecision, the naive variant, on the columns that TabSyn gives it."""
    import pandas as pd
    from sklearn.preprocessing import OneHotEncoder

    module = _synthcity(folder)
    numbers = [c for c in train.columns if c not in names]
    encoder = OneHotEncoder().fit(train[names].to_numpy().astype("str"))
    frames = []
    for frame in (train, synthetic):
        coded = encoder.transform(frame[names].to_numpy().astype("str")).toarray()
        frames.append(pd.DataFrame(np.concatenate((frame[numbers].to_numpy(), coded), axis=1)).astype(float))
    # the loader takes the last column for a target, and the metric drops it
    loaders = [_Loader(frame) for frame in frames]
    metric = object.__new__(module.AlphaPrecision)
    metric._task_type = "classification"
    found = metric.metrics(*(f.to_numpy() for f in metric._normalize_covariates(*loaders)), emb_center=None)
    return dict(zip(("delta_precision_alpha", "delta_coverage_beta", "authenticity"), map(float, found[3:])))


class _Loader:
    """What `_normalize_covariates` asks of a GenericDataLoader without a named target."""

    def __init__(self, data: Any) -> None:
        data.columns = data.columns.astype(str)
        self.data, self.target_column = data, data.columns[-1]

    def dataframe(self) -> Any:
        return self.data

    def train(self) -> _Loader:
        return self


def _synthcity(folder: Path) -> Any:
    """eval_statistical without what it imports for other metrics."""
    for name in ("torch", "geomloss", "pydantic", "synthcity", "synthcity.logger", "synthcity.metrics"):
        sys.modules[name] = types.ModuleType(name)
    stubs = {
        "geomloss": {"SamplesLoss": None},
        "pydantic": {"validate_arguments": lambda *_, **__: lambda function: function},
        "synthcity.metrics._utils": {"get_frequency": None},
        "synthcity.metrics.core": {"MetricEvaluator": object},
        "synthcity.plugins": {},
        "synthcity.plugins.core": {},
        "synthcity.plugins.core.dataloader": {"DataLoader": object},
        "synthcity.plugins.core.models": {},
        "synthcity.plugins.core.models.survival_analysis": {},
        "synthcity.plugins.core.models.survival_analysis.metrics": {"nonparametric_distance": None},
        "synthcity.utils": {},
        "synthcity.utils.reproducibility": {"clear_cache": None},
        "synthcity.utils.serialization": {"load_from_file": None, "save_to_file": None},
    }
    for name, members in stubs.items():
        sys.modules.setdefault(name, types.ModuleType(name))
        vars(sys.modules[name]).update(members)
    sys.modules["synthcity"].logger = sys.modules["synthcity.logger"]  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("original", folder / "synthcity" / "metrics" / "eval_statistical.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tabsyn(folder: Path, train: Any, test: Any, names: list[str], target: str) -> dict[str, dict[str, float]]:
    """The figures of the best model by each score, of a classification."""
    sys.modules["prdc"] = types.ModuleType("prdc")
    vars(sys.modules["prdc"])["compute_prdc"] = None
    sys.modules.setdefault("tqdm", types.ModuleType("tqdm"))
    vars(sys.modules["tqdm"])["tqdm"] = iter
    text = (folder / "eval" / "mle" / "mle.py").read_text(encoding="utf-8")
    for old, new in (("gpu_hist", "hist"), ("sparse=False", "sparse_output=False"), ("'nthread': [-1]", "'nthread': [1]")):
        text = text.replace(old, new)
    module = types.ModuleType("original")
    exec(compile(text, "mle.py", "exec"), vars(module))
    places = list(train.columns)
    info = {
        "num_col_idx": [places.index(c) for c in places if c not in names],
        "cat_col_idx": [places.index(c) for c in names if c != target],
        "target_col_idx": [places.index(target)],
        "task_type": "binclass",
    }
    np.random.seed(SEED)  # noqa: NPY002 - the original draws its validation rows from the global generator
    kinds = ("f1", "weighted_f1", "auroc", "accuracy", "mean")
    with contextlib.redirect_stdout(io.StringIO()):
        best = module.get_evaluator("binclass")(train.to_numpy(), test.to_numpy(), info)
    return {kind: {k: float(v) for k, v in scores[0].items() if k != "name"} for kind, scores in zip(kinds, best)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthcity", type=Path, help="the folder of synthcity's unpacked wheel")
    parser.add_argument("--tabsyn", type=Path, help="the folder of TabSyn's repository")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    for table, target in TABLES.items():
        arrow = pq.read_table(Path(os.environ.get("SYNTH_DATA", "../shared/data")) / f"{table}.parquet")
        names = categories(arrow, target)
        train, holdout, synthetic = (part.to_pandas() for part in samples(arrow))
        for frame in (train, holdout, synthetic):
            frame[target] = frame[target].astype(str)
        found: dict[str, Any] = {}
        if chosen.synthcity is not None:
            found["synthcity"] = synthcity(chosen.synthcity, train, synthetic, names)
        elif chosen.tabsyn is not None:
            found["tabsyn"] = tabsyn(chosen.tabsyn, synthetic, holdout, names, target)
        elif find_spec("sdmetrics") is not None:
            found["sdmetrics"] = sdmetrics(train, synthetic, names)
        elif find_spec("mostlyai") is not None:
            found["mostlyai"] = mostlyai(train, synthetic, holdout)
        print(table, json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
