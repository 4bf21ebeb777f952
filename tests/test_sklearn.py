"""`SynthSampler` is an imbalanced-learn sampler like any other, and sees the training folds alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline
from imblearn.utils import estimator_checks
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from synth.errors import ConfigError, DataError
from synth.sklearn import SynthSampler


def rows(n: int = 400, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    rare = rng.random(n) < 0.1
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n) + 2 * rare,
            "count": rng.integers(0, 9, n),
            "kind": pd.Categorical(rng.choice(["a", "b"], n), categories=["a", "b", "c"]),
            "town": rng.choice(["Aachen", "Bonn"], n),
        }
    )
    frame.loc[::7, "x"] = np.nan
    return frame, pd.Series(np.where(rare, "yes", "no"), name="fraud")


def test_rows_come_back_first_with_their_types_and_classes_even() -> None:
    X, y = rows()
    made, labels = SynthSampler(random_state=0).fit_resample(X, y)
    pd.testing.assert_frame_equal(made[: len(X)], X)
    assert list(labels[: len(y)]) == list(y)
    assert (list(made.dtypes), labels.name) == (list(X.dtypes), "fraud")
    assert set(labels[len(y) :]) == {"yes"}
    assert labels.value_counts()["yes"] == labels.value_counts()["no"]
    again, _ = SynthSampler(random_state=0).fit_resample(X, y)
    pd.testing.assert_frame_equal(again, made)
    other, _ = SynthSampler(random_state=1).fit_resample(X, y)
    assert not other.equals(made)


def test_made_rows_look_like_the_class_and_not_like_the_others() -> None:
    X, y = rows(2_000)
    made, _ = SynthSampler(random_state=0).fit_resample(X, y)
    assert abs(made["x"][len(X) :].mean() - X["x"][y == "yes"].mean()) < 0.3


def test_strategies_are_those_of_imbalanced_learn() -> None:
    X, y = rows()
    _, labels = SynthSampler(sampling_strategy=0.5, random_state=0).fit_resample(X, y)
    assert labels.value_counts()["yes"] == int(0.5 * labels.value_counts()["no"])
    _, labels = SynthSampler(sampling_strategy={"yes": 100}, random_state=0).fit_resample(X, y)
    assert labels.value_counts()["yes"] == 100
    numbers = np.column_stack([X["count"], X["count"] ** 2]).astype(float)
    three = np.where(y == "yes", 7, np.arange(len(y)) % 2)
    made, labels = SynthSampler("independent", random_state=0).fit_resample(numbers, three)
    assert isinstance(made, np.ndarray)
    assert len(set(np.unique(labels, return_counts=True)[1])) == 1
    assert made.dtype == numbers.dtype


def test_in_a_pipeline_the_generator_is_fitted_inside_each_training_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = rows()
    given: list[pd.DataFrame] = []
    inside = SynthSampler._fit_resample

    def watched(self: SynthSampler, X: Any, y: Any, **params: Any) -> Any:
        given.append(X)
        return inside(self, X, y, **params)

    monkeypatch.setattr(SynthSampler, "_fit_resample", watched)
    numbers = X[["x", "count"]].fillna(0.0)
    model = make_pipeline(SynthSampler("copula", random_state=0), LogisticRegression())
    folds = StratifiedKFold(3)
    scores = cross_val_score(model, numbers, y == "yes", cv=folds, scoring="average_precision")
    assert scores.mean() > 0.5
    for seen, (train, _) in zip(given, folds.split(numbers, y), strict=True):
        assert list(seen.index) == list(numbers.index[train])


def test_parameters_are_kept_by_a_clone() -> None:
    sampler = SynthSampler("copula", params={"bins": 3}, sampling_strategy=0.4, random_state=3)
    kept = {"generator": "copula", "params": {"bins": 3}, "sampling_strategy": 0.4, "random_state": 3}
    assert clone(sampler).get_params() == kept
    assert sampler.set_params(generator="trees").generator == "trees"


def test_what_cannot_be_used_is_refused_in_words() -> None:
    X, y = rows()
    with pytest.raises(ConfigError, match="no generator 'treees'; did you mean 'trees'"):
        SynthSampler("treees").fit_resample(X, y)
    with pytest.raises(DataError, match="holds no plain numbers"):
        SynthSampler().fit_resample(X.to_numpy(dtype=object), y)
    with pytest.raises(DataError, match="the class 'yes' has one row"):
        SynthSampler().fit_resample(X, np.where(np.arange(len(y)) == 0, "yes", "no"))


@pytest.mark.parametrize(
    "check",
    [
        "check_samplers_one_label",
        "check_samplers_fit",
        "check_samplers_fit_resample",
        "check_samplers_sampling_strategy_fit_resample",
        "check_samplers_pandas",
        "check_samplers_list",
        "check_samplers_multiclass_ova",
        "check_samplers_preserve_dtype",
        "check_samplers_sample_indices",
        "check_samplers_2d_target",
        "check_sampler_get_feature_names_out",
    ],
)
def test_imbalanced_learns_own_checks_pass(check: str) -> None:
    getattr(estimator_checks, check)("SynthSampler", SynthSampler("independent", random_state=0))
