"""`SynthSampler`: rows of rare classes from a generator, as a step of an imbalanced-learn pipeline.

    from imblearn.pipeline import make_pipeline
    model = make_pipeline(SynthSampler(random_state=0), HistGradientBoostingClassifier())
    cross_val_score(model, X, y, scoring="average_precision")   # the generator is fitted inside each training fold

A pipeline resamples in `fit` alone, so that what is scored keeps its natural prevalence.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from imblearn.utils._validation import _check_X
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from synth.errors import DataError, MissingExtraError
from synth.generators import by_name, create
from synth.generators.by_class import learns_apart

STRANGERS = 60  # rows of classes that need none which the generator is handed, since each class is learned apart
TARGET = "target"


class SynthSampler(BaseOverSampler):  # type: ignore[misc]
    """Over-sample classes with rows that a generator of ours made, each class learned from the rows that are given.

    generator: a method's name, such as "trees", "copula" or, with the extra `torch`, "autoregressive", "gan" or "diffusion". It
    is fitted as `by-class`. params: its hyperparameters by name, such as {"max_seconds": 60}; None: its defaults.
    sampling_strategy: as everywhere in imbalanced-learn: "auto" brings every class to the largest, a number is
    the ratio of the smaller of two classes to the larger, a mapping gives the rows of each class. random_state: a seed, a
    `RandomState` or None; the same seed gives the same rows.
    X: a pandas frame with numbers, categories, text, dates and nulls, or a numeric array, shape (rows, features). What
    comes back holds the given rows first, and X's and y's own types. `generator_` is the fitted generator.
    Raises DataError where a class has too few rows to be learned, and as `Generator.fit` does.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseOverSampler._parameter_constraints,
        "generator": [str],
        "params": [dict, None],
    }

    def __init__(
        self,
        generator: str = "trees",
        *,
        params: dict[str, Any] | None = None,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.generator = generator
        self.params = params
        self.random_state = random_state

    def _check_X_y(self, X: Any, y: Any) -> tuple[Any, Any, bool]:  # noqa: N802 - imbalanced-learn's name
        """A frame is taken as it is, with its categories, text and nulls, as `RandomOverSampler` takes it."""
        y, binarize_y = check_target_type(y, indicate_one_vs_all=True)
        X = _check_X(X)
        validate_data(self, X=X, y=y, reset=True, skip_check_array=True)
        return X, y, binarize_y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = False
        return tags

    def _fit_resample(self, X: Any, y: Any, **params: Any) -> tuple[Any, Any]:
        pd = _pandas()
        by_name(self.generator)  # raises for a name that is none, before any work
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        y = np.asarray(y)
        classes = np.unique(y)
        wanted = {label: count for label, count in self.sampling_strategy_.items() if count > 0}
        frame = X.reset_index(drop=True) if isinstance(X, pd.DataFrame) else pd.DataFrame(_numbers(X))
        if not wanted:
            return X, y
        names = [
            str(place) for place in range(frame.shape[1])
        ]  # any names are allowed there, and none that ours would clash with
        columns = frame.set_axis(names, axis=1)
        codes = np.searchsorted(classes, y)
        columns[TARGET] = pd.Categorical.from_codes(codes, categories=[f"class {k}" for k in range(len(classes))])
        short = [int(np.searchsorted(classes, label)) for label in wanted]
        for code in short:
            if (codes == code).sum() < 2:
                raise DataError(f"the class {str(classes[code])!r} has one row; a generator needs at least 2 to learn from")
        kept = np.ones(len(y), dtype=bool)
        if learns_apart(self.generator):
            other = ~np.isin(codes, short)
            kept = ~other | (np.cumsum(other) <= STRANGERS)
        model = create("by-class", {"of": self.generator, "params": self.params})
        model.fit(columns[kept].reset_index(drop=True), target=TARGET, seed=seed)
        made, labels = [frame], [y]
        for code, (label, count) in zip(short, wanted.items()):
            rows = model.sample(count, where={TARGET: f"class {code}"}, seed=seed + 1 + code)
            made.append(rows[names].set_axis(frame.columns, axis=1))
            labels.append(np.full(count, label, dtype=y.dtype))
        self.generator_ = model
        whole = pd.concat(made, ignore_index=True)
        return (whole if isinstance(X, pd.DataFrame) else whole.to_numpy(dtype=np.asarray(X).dtype)), np.concatenate(labels)


def _pandas() -> Any:
    """The package. Raises MissingExtraError where it is not installed."""
    try:
        import pandas
    except ImportError as problem:
        raise MissingExtraError("SynthSampler", "pandas", "pandas") from problem
    return pandas


def _numbers(X: Any) -> np.ndarray:
    """An array of numbers. Raises DataError for one that holds anything else, or is sparse."""
    values = np.asarray(X)
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"an array of dtype {values.dtype} holds no plain numbers; give a dense array of numbers, or a pandas frame, whose "
            "columns may hold categories and text"
        )
    return values
