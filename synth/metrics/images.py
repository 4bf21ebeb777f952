"""Whether synthetic images look like real ones, as a small classifier of real images sees them, and are no copies of them.

The Fréchet distance is Heusel et al.'s ("GANs trained by a two time-scale update rule …", 2017), precision and recall are
Kynkäänniemi et al.'s ("Improved precision and recall metric for assessing generative models", 2019), both on the last hidden
layer of a classifier that learned the training images' labels here: features of photographs say little of digits. A copy is
told as in Carlini et al., "Extracting training data from diffusion models" (2023): nearer to one training image than to those
around.
Likeness rests on equally many training, synthetic and holdout images, copies on all training images.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synth.data.images import ImageShape
from synth.metrics.distance import neighbours, within
from synth.metrics.evidence import SIDES, Evidence, Side
from synth.metrics.intervals import jackknife_error, normal, wilson
from synth.metrics.learners import QUIET, draw
from synth.metrics.measurement import Interval
from synth.metrics.registry import Metric, NothingThereError, Reading, SkipMetricError, metric

IMAGES = 10_000  # of each table: the search for neighbours costs their square
LEAST = 100  # of each table, below which features have no covariance to speak of
LAYERS = (256, 64)  # of the classifier; the last one gives the features
SMALL_LAYERS, SMALL = (64, 32), 16  # ... and for images of sides below so many pixels
ROUNDS = 20  # passes of the classifier over the training images, each moved by a pixel to each side as well unless small
NEIGHBOURS = 3  # k of precision and recall, as in the paper
AROUND = 20  # training images around, to which the distance to the nearest one is put in proportion
CALIBRATE = 0.01  # share of real images that are nearer to a training image, in this proportion, than what is called a copy
PAIRS, FEWEST = 300_000_000, 2_000  # images looked for times training images; at least so many are looked for
GROUPS = 20  # of images that are left out in turn, to tell how much a distance scatters
ON_IMAGES = (  # what is measured of an image table unless something else is asked for by name
    "image", "validity", "fidelity.missing_classes", "fidelity.class_share", "privacy.exact_copies", "privacy.unique_copies",
    "privacy.near_copies", "privacy.memorised", "privacy.membership_auc", "privacy.membership_tpr",
)  # fmt: skip


def left_out(evidence: Evidence, selected: Iterable[Metric], asked: Iterable[str]) -> Mapping[str, str]:
    """Which metrics are not begun on an image table, by name, with the reason."""
    if ImageShape.of(evidence.train.schema) is None:
        return {}
    why = "each pixel is a column here, and single columns or pairs say nothing of images; name the metric to have it anyway"
    wanted = {*ON_IMAGES, *(name for name in asked if "." in name)}
    return {one.name: why for one in selected if not wanted & {one.name, one.family}}


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one table: pixels from 0 to 1 of shape (n, pixels), labels of shape (n,), -1 for none."""

    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Seen:
    """The three tables' images, what the classifier takes each for, and its last hidden layer, scaled."""

    images: dict[Side, Images]
    told: dict[Side, np.ndarray]
    features: dict[Side, np.ndarray]

    @property
    def has_holdout(self) -> bool:
        return len(self.images["holdout"].pixels) > 0


def seen(evidence: Evidence) -> Seen:
    """Shared by all metrics of the family. Raises NothingThereError where the table holds no labelled images."""
    return evidence.once("images", lambda: _seen(evidence))


def _seen(evidence: Evidence) -> Seen:
    shape, target = ImageShape.of(evidence.train.schema), evidence.target
    if shape is None:
        raise NothingThereError("the table holds no images")
    if target is None or target.levels is None:
        raise NothingThereError("the images have no label: no column is the target, or it is no category")
    sides: list[Side] = [side for side in SIDES if evidence.rows(side)]
    n = min(IMAGES, *(evidence.rows(side) for side in sides))
    if n < LEAST:
        raise SkipMetricError(f"{n} images are too few to compare; {LEAST} are needed in each table")
    model = _classifier(_images(evidence, "train", draw(evidence, "train", 2 * IMAGES, "images.classifier")), shape)
    images = {side: _images(evidence, side, draw(evidence, side, n, "images")) for side in SIDES}
    hidden = {side: _hidden(model, one.pixels) for side, one in images.items()}
    scale = np.sqrt(hidden["train"].var(axis=0, dtype=np.float64).sum()) or 1.0
    return Seen(
        images,
        {side: model.predict(one.pixels) if len(one.pixels) else np.empty(0) for side, one in images.items()},
        {side: (layer / scale).astype(np.float32) for side, layer in hidden.items()},
    )


def _images(evidence: Evidence, side: Side, rows: np.ndarray) -> Images:
    """The images in these rows of a table, on the scale of the darkest and brightest training pixel."""
    shape, target = ImageShape.of(evidence.train.schema), evidence.target
    assert shape is not None
    assert target is not None
    low, high = evidence.once("images.scale", lambda: _scale(evidence, shape))
    pixels = shape.stack(lambda name: evidence.column(name).of(side)[rows]).reshape(len(rows), shape.pixels)
    return Images(np.nan_to_num((pixels - low) / (high - low)).astype(np.float32), target.of(side)[rows])


def _scale(evidence: Evidence, shape: ImageShape) -> tuple[float, float]:
    ends = [(float(pixel.min()), float(pixel.max())) for pixel in (evidence.column(name).train for name in shape.names)]
    low, high = min(least for least, _ in ends), max(most for _, most in ends)
    return low, high if high > low else low + 1.0


def _classifier(images: Images, shape: ImageShape) -> Any:
    """A small network of the labels, the same whatever the order of the images; it says -1 for none that has no label."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    known = images.labels >= 0
    pixels, labels = images.pixels[known], images.labels[known]
    if len(np.unique(labels)) < 2:
        raise SkipMetricError("the training images have one label; there is nothing to tell apart")
    order = np.lexsort((labels, pixels @ np.random.default_rng(0).random(pixels.shape[1])))
    pixels, labels = pixels[order], labels[order]
    is_small = min(shape.height, shape.width) < SMALL
    if not is_small:
        grid = pixels.reshape(-1, shape.height, shape.width, shape.channels)
        moved = [np.roll(grid, by, axis).reshape(len(grid), -1) for axis in (1, 2) for by in (-1, 1)]
        pixels, labels = np.concatenate([pixels, *moved]), np.tile(labels, 5)
    model = MLPClassifier(SMALL_LAYERS if is_small else LAYERS, max_iter=ROUNDS * (3 if is_small else 1), random_state=0)
    with QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped on purpose
        return model.fit(pixels, labels)


def _hidden(model: Any, pixels: np.ndarray) -> np.ndarray:
    """The last hidden layer, shape (n, units)."""
    layer = pixels
    for weight, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        layer = np.maximum(layer @ weight + bias, 0)
    return layer


# fidelity ----------------------------------------------------------------------------------------------------------------


@metric("image.frechet", better="lower", bounds=(0.0, np.inf), cost=30.0)
def frechet(evidence: Evidence) -> Iterator[Reading]:
    """Fréchet distance to the training images on a classifier's features, over their variance; fresh images are near 0.

    Of normal distributions with these means and covariances: ‖m − m'‖² + tr(S + S' − 2(SS')^½), here over tr(S).
    """
    found = seen(evidence)
    yield Reading(
        _frechet(found, "synthetic", evidence), _frechet(found, "holdout", evidence) if found.has_holdout else None,
        detail={"features": found.features["train"].shape[1]},
    )  # fmt: skip


def _frechet(found: Seen, side: Side, evidence: Evidence) -> Interval:
    """The distance, with the spread of leaving out a twentieth of the images in turn."""
    real, other = found.features["train"], found.features[side]
    part = evidence.rng(f"image.frechet.{side}").permutation(len(other)) % GROUPS
    whole = _distance(_moments(real), _moments(other))
    error = jackknife_error(np.array([_distance(_moments(real), _moments(other[part != out])) for out in range(GROUPS)]))
    return normal(whole, error, len(other), (0.0, np.inf))


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(axis=0, dtype=np.float64), np.cov(features.astype(np.float64), rowvar=False)


def _distance(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    (m, s), (n, t) = one, other
    values, vectors = np.linalg.eigh(s)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ t @ root), 0)).sum()
    return max(0.0, float(((m - n) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * shared))


@metric("image.precision", better="higher", cost=3.0)
def precision(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic images that lie within a training image's neighbourhood, on a classifier's features.

    A neighbourhood reaches to the third nearest image of the same table. Copies excel in it.
    """
    yield _covering(seen(evidence), "train")


@metric("image.recall", better="higher", cost=3.0)
def recall(evidence: Evidence) -> Iterator[Reading]:
    """Share of the training images that lie within a synthetic image's neighbourhood, on a classifier's features.

    Images that all look alike reach few; copies reach all.
    """
    yield _covering(seen(evidence), "other")


def _covering(found: Seen, balls: str) -> Reading:
    """How many of the others lie in balls around training images, or the reverse.

    Wilson's intervals at half of the images, since those around which the balls are scatter too.
    """

    def share(side: Side) -> Interval:
        real, other = found.features["train"], found.features[side]
        centres, points = (real, other) if balls == "train" else (other, real)
        radii = neighbours(centres, centres, NEIGHBOURS, exclude_self=True)[0][:, -1]
        inside = within(centres, points, radii)[1] > 0
        return replace(wilson(inside.mean() * len(points) / 2, len(points) / 2), n=len(points))

    return Reading(share("synthetic"), share("holdout") if found.has_holdout else None, detail={"neighbours": NEIGHBOURS})


@metric("image.consistency", better="higher", cost=0.1)
def consistency(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic images that show what their label says, to a classifier of the training images.

    Fresh real images set the reference: what the classifier gets wrong is no fault of theirs.
    """
    found, target = seen(evidence), evidence.target
    assert target is not None
    right = {side: found.told[side] == one.labels for side, one in found.images.items()}
    classes = {}
    for code in np.unique(found.images["synthetic"].labels):
        mine = found.images["synthetic"].labels == code
        share = round(float(right["synthetic"][mine].mean()), 4)
        classes[target.label(int(code))] = {"images": int(mine.sum()), "share": share}
    yield Reading(
        wilson(right["synthetic"].sum(), len(right["synthetic"])),
        wilson(right["holdout"].sum(), len(right["holdout"])) if found.has_holdout else None,
        detail={"classes": classes},
    )


# copies ------------------------------------------------------------------------------------------------------------------


@metric("image.copies", better="lower", cost=8.0)
def copies(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic images that are nearer to a training image than all but one in a hundred fresh images are.

    Nearer in proportion to the twenty next training images, pixel by pixel. One half of the holdout sets what is near, the
    other is the reference; then they change places.
    """
    found = seen(evidence)
    if not found.has_holdout:
        raise SkipMetricError("no images are held out to say how near to a training image fresh ones come")
    train = _images(evidence, "train", np.arange(evidence.rows("train"))).pixels  # any of them may be copied
    most = max(FEWEST, PAIRS // len(train))
    near = {side: _nearness(found.images[side].pixels[:most], train) for side in ("synthetic", "holdout")}
    first = evidence.rng("image.copies.halves").permutation(len(near["holdout"])) % 2 == 0
    fake, real, limits = 0.0, 0.0, []
    for half in (first, ~first):
        limits.append(float(np.quantile(near["holdout"][half], CALIBRATE)))
        fake += float((near["synthetic"] < limits[-1]).sum()) / 2
        real += float((near["holdout"][~half] < limits[-1]).sum())
    rows, ruler = len(near["synthetic"]), len(near["holdout"])
    nearest = int((near["synthetic"] < near["holdout"].min()).sum())
    yield Reading(
        _by_ruler(fake / rows, rows, ruler), _by_ruler(real / ruler, ruler, ruler),
        detail={"limits": limits, "nearer_than_any_fresh_image": nearest},
    )  # fmt: skip


def _nearness(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Distance to the nearest training image over the mean distance to the next ones; 0 for a copy, at most 1."""
    far, _ = neighbours(images, train, 1 + AROUND)
    return np.asarray(far[:, 0] / np.maximum(far[:, 1:].mean(axis=1), 1e-12))


def _by_ruler(share: float, rows: int, ruler: int) -> Interval:
    """A share of rows nearer than a quantile of as many others: both scatter."""
    effective = 1 / (1 / rows + 1 / ruler)
    return replace(wilson(share * effective, effective), n=rows)
