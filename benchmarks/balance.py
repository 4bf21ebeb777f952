"""Does the verdict of `synth balance` hold up? The same protocol, once more, with scikit-learn and imbalanced-learn alone.

    python -m benchmarks.balance [TABLE …] [--rows 3000]

Writes reports/benchmarks/balance.md. For each table the remedies are compared twice: by `synth.metrics.nested`, and by the
plain re-implementation below, which shares no code with it but the rows that `SynthSampler` makes: folds, features, models,
thresholds, figures and intervals are scikit-learn's, imbalanced-learn's and a few lines of numpy, with other seeds. What must
agree is the verdict for each kind of model; figures differ by folds and by how columns become features.

Needs the real tables (SYNTH_DATA names their folder).
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE, SMOTENC, RandomOverSampler
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_curve
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import synth
from synth.balance import maker
from synth.metrics.answer import answer
from synth.metrics.nested import Comparison, compare_remedies
from synth.sklearn import SynthSampler

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SYNTH_DATA", ROOT / ".." / "shared" / "data"))
REPORT = ROOT / "reports" / "benchmarks" / "balance.md"
RATIOS = (0.25, 1.0)
FOLDS, SEED, OTHER_SEED = 5, 0, 1_000


@dataclass(frozen=True)
class Case:
    """A table, its target and rare class; rows: how many are compared on, relative to --rows."""

    file: str
    target: str
    rare: str
    rows: float = 1.0
    distinct: bool = False


CASES = {
    "Mammography": Case("mammography.parquet", "class", "1", 2.0),
    "Bank": Case("bank_marketing.parquet", "y", "yes"),
    "Shoppers": Case("online_shoppers.parquet", "Revenue", "True"),
    "KDD'99, warezclient": Case("kddcup99_10pct.parquet", "label", "warezclient", 3.4, distinct=True),
}
FIGURES = ("average_precision", "balanced_accuracy")
WORDS = {
    "rows": "made rows help",
    "remedy": "another remedy helps",
    "threshold": "a tuned threshold, no more",
    "nothing": "no benefit found",
}


# the protocol once more, plainly --------------------------------------------------------------------------------------


def plain(frame: pd.DataFrame, y: np.ndarray, learner: str) -> dict[str, dict[str, np.ndarray]]:
    """Each remedy's figures fold by fold: {remedy: {figure: shape (folds,)}}."""
    found: dict[str, dict[str, list[float]]] = {}
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=OTHER_SEED)
    for k, (train, test) in enumerate(folds.split(frame, y)):
        X, z = frame.iloc[train].reset_index(drop=True), y[train]
        for remedy, (rows, labels, weight) in remedies(X, z, OTHER_SEED + k).items():
            model = build(learner, OTHER_SEED + k)
            step = model.steps[-1][0] if learner == "linear" else None
            model.fit(
                rows, labels, **({} if weight is None else {f"{step}__sample_weight" if step else "sample_weight": weight})
            )
            chances = model.predict_proba(frame.iloc[test])[:, 1]
            told = {"average_precision": average_precision_score(y[test], chances)}
            told["balanced_accuracy"] = balanced_accuracy_score(y[test], chances >= 0.5)
            note(found, remedy, told)
            if remedy == "nothing":
                halves = StratifiedKFold(2, shuffle=True, random_state=OTHER_SEED + k)
                inner = cross_val_predict(build(learner, OTHER_SEED + k), X, z, cv=halves, method="predict_proba")[:, 1]
                false, true, cuts = roc_curve(z, inner)
                told["balanced_accuracy"] = balanced_accuracy_score(y[test], chances >= cuts[np.argmax(true - false)])
                note(found, "threshold tuning", told)
    return {remedy: {name: np.array(values) for name, values in figures.items()} for remedy, figures in found.items()}


def remedies(X: pd.DataFrame, y: np.ndarray, seed: int) -> dict[str, tuple[pd.DataFrame, np.ndarray, np.ndarray | None]]:
    """The training rows of each remedy: rows, labels, weights."""
    others = int((y == 0).sum())
    smote = SMOTENC("auto", random_state=seed) if len(X.select_dtypes("category").columns) else SMOTE(random_state=seed)
    found = {
        "nothing": (X, y, None),
        "class weights": (X, y, np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))),
        "oversampling": (*RandomOverSampler(random_state=seed).fit_resample(X, y), None),
        "SMOTE": (*smote.fit_resample(X, y), None),
    }
    for ratio in RATIOS:
        sampler = SynthSampler("trees", sampling_strategy={1: round(ratio * others)}, random_state=seed)
        found[f"rows from trees to 1:{1 / ratio:g}"] = (*sampler.fit_resample(X, y), None)
    return found


def build(learner: str, seed: int) -> Any:
    if learner == "boosted":
        return HistGradientBoostingClassifier(
            l2_regularization=1.0, early_stopping=False, categorical_features="from_dtype", random_state=seed
        )
    columns = make_column_transformer(
        (OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist"), make_column_selector(dtype_include="category")),
        (StandardScaler(), make_column_selector(dtype_exclude="category")),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=2_000))


def note(found: dict[str, dict[str, list[float]]], remedy: str, told: dict[str, float]) -> None:
    for name, value in told.items():
        found.setdefault(remedy, {}).setdefault(name, []).append(float(value))


def interval(apart: np.ndarray, tried: int) -> tuple[float, float, float]:
    """The corrected resampled t-test (Nadeau and Bengio 2003), at a level corrected for how many were tried."""
    from scipy.stats import t

    reach = t.ppf(1 - 0.025 / tried, len(apart) - 1) * apart.std(ddof=1) * np.sqrt(1 / len(apart) + 1 / (FOLDS - 1))
    return float(apart.mean()), float(apart.mean() - reach), float(apart.mean() + reach)


def verdict(found: dict[str, dict[str, np.ndarray]]) -> str:
    """ "rows", "remedy", "threshold" or "nothing", by the rule that docs/how-to/balance.md states."""
    gains = {name: figures["average_precision"] - found["nothing"]["average_precision"] for name, figures in found.items()}
    tried = {name: gain for name, gain in gains.items() if name not in ("nothing", "threshold tuning")}
    helping = [name for name, gain in tried.items() if interval(gain, len(tried))[1] > 0]
    if helping:
        return "rows" if any(name.startswith("rows") for name in helping) else "remedy"
    tuned = found["threshold tuning"]["balanced_accuracy"] - found["nothing"]["balanced_accuracy"]
    return "threshold" if interval(tuned, 1)[1] > 0 else "nothing"


# both, and the page ---------------------------------------------------------------------------------------------------


def run(name: str, rows: int) -> list[str]:
    """One table's part of the page."""
    case = CASES[name]
    table = synth.read(DATA / case.file, target=case.target)
    if case.distinct:
        kept = ~table.to_pandas().duplicated().to_numpy()
        table = table.filter(kept)
    most = round(case.rows * rows)
    table = table.take(np.sort(np.random.default_rng(SEED).permutation(len(table))[:most]))
    frame = table.to_pandas()
    y = (frame.pop(case.target).astype(str) == case.rare).to_numpy().astype(int)
    frame = frame.loc[:, frame.nunique() > 1]
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]) or frame[column].dtype == bool:
            frame[column] = frame[column].astype(object).where(frame[column].notna(), "missing").astype(str).astype("category")
        else:
            frame[column] = frame[column].astype(float).fillna(frame[column].median())
    started = time.process_time()
    ours = compare_remedies(table, {"trees": maker("trees", case.rare)}, folds=FOLDS, seed=SEED, ratios=RATIOS, rare=case.rare)
    took = [time.process_time() - started]
    lines = [
        f"## {name}",
        "",
        f"{len(table):,} rows, {y.sum():,} of {case.target} = {case.rare}.",
        "",
        "| model | remedy | average precision, ours | plain | balanced accuracy, ours | plain |",
        "|---|---|---:|---:|---:|---:|",
    ]
    agreed = []
    for learner in ("boosted", "linear"):
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = plain(frame, y, learner)
        took.append(time.process_time() - started)
        lines += table_of(ours, theirs, learner)
        said = answer(only(ours, learner))
        agreed.append(
            f"- {learner}: ours: **{WORDS[said.kind]}**; plain: **{WORDS[verdict(theirs)]}**"
            f"{'' if said.kind == verdict(theirs) else ' (they differ)'}. {said.sentence}"
        )
    return [*lines, "", *agreed, "", f"CPU seconds: {took[0]:.0f} ours, {sum(took[1:]):.0f} plain.", ""]


def only(found: Comparison, learner: str) -> Comparison:
    """The same comparison for one kind of model."""
    return replace(found, outcomes=tuple(o for o in found.outcomes if o.learner == learner))


def table_of(ours: Comparison, theirs: dict[str, dict[str, np.ndarray]], learner: str) -> list[str]:
    """Both sides' figures, with the difference to nothing and its interval, uncorrected."""
    lines = []
    for outcome in (o for o in ours.outcomes if o.learner == learner):
        cells = []
        for figure in FIGURES:
            gap = outcome.difference(figure)
            cells.append(cell(outcome.figures[figure], gap.value, gap.low, gap.high))
            values = theirs[outcome.remedy][figure]
            cells.append(cell(float(values.mean()), *interval(values - theirs["nothing"][figure], 1)))
        lines.append(f"| {learner} | {outcome.remedy} | {' | '.join(cells)} |")
    return lines


def cell(value: float, gap: float, low: float, high: float) -> str:
    return f"{value:.3f}" if low == high else f"{value:.3f} ({gap:+.3f} [{low:+.3f}, {high:+.3f}])".replace("-", "−")


def main(chosen: list[str], rows: int, say: Callable[[str], None] = print) -> None:
    parts = [
        "# Balance: the verdict, and an independent run of the protocol",
        "",
        f"`python -m benchmarks.balance --rows {rows}`: {FOLDS} folds, seed {SEED}; the plain side (scikit-learn and "
        f"imbalanced-learn, other folds, seed {OTHER_SEED}) shares no code but the rows that `SynthSampler` makes. In brackets "
        "the difference to doing nothing with its 95% interval, uncorrected; verdicts are corrected for how many were tried.",
        "",
    ]
    for name in chosen or list(CASES):
        parts += run(name, rows)
        say(f"{name} done")
        REPORT.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=[*CASES, []])
    parser.add_argument("--rows", type=int, default=3_000)
    given = parser.parse_args()
    main(given.tables, given.rows)
