"""Images are drawn given their label, alike the real ones and not from memory; other tables are refused with the reason."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.neighbors import KNeighborsClassifier

from synth.data.example import example_table
from synth.data.images import ImageShape, as_rows
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import ConditionError, ConfigError, DataError, GenerationError, MissingExtraError
from synth.generators._storage import load
from synth.generators.image_diffusion import ImageDiffusion
from synth.metrics.distance import nearest
from tests.digits import digits, image_table, tiny_digits

pytest.importorskip("diffusers", reason="images are drawn by diffusers: pip install 'synth[torch]'")

TINY = ImageDiffusion(epochs=2, widths=(8,), steps=2)


def flat(table: Table) -> tuple[np.ndarray, np.ndarray]:
    shape = ImageShape.of(table.schema)
    assert shape is not None
    images = shape.stack(lambda name: np.asarray(table.column(name))).reshape(len(table), -1)
    return images / 16, np.asarray(table.column("label"))


@pytest.fixture(scope="module")
def tiny() -> ImageDiffusion:
    return ImageDiffusion(**TINY.get_params()).fit(tiny_digits(), seed=0)


# what it is for -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_digits_show_what_their_label_says_and_are_no_copies() -> None:
    images, labels = digits()
    train, holdout = image_table(images[:1250], labels[:1250]), image_table(images[1250:], labels[1250:])
    made = ImageDiffusion(epochs=20, widths=(16, 32), batch_rows=32, learning_rate=2e-3).fit(train, seed=0).sample(400, seed=1)
    (real, shown), (held, said), (fake, given) = flat(train), flat(holdout), flat(made)
    judge = KNeighborsClassifier(3).fit(real, shown)
    assert judge.score(held, said) > 0.93
    assert judge.score(fake, given) > 0.9
    assert abs(fake.mean(axis=0) - held.mean(axis=0)).max() < 0.2
    assert (nearest(fake, real) < np.quantile(nearest(held, real), 0.01)).mean() <= 0.02


# conditions -----------------------------------------------------------------------------------------------------------


def test_labels_are_drawn_as_they_were_seen_and_exactly_under_a_condition(tiny: ImageDiffusion) -> None:
    real, made = tiny_digits(), tiny.sample(3_000, seed=3)
    for value in (0, 1, 2, None):
        seen, drawn = (np.mean([label == value for label in table.column("label").to_pylist()]) for table in (real, made))
        assert abs(seen - drawn) < 0.05
    assert set(tiny.sample(200, where={"label": 2}).column("label").to_pylist()) == {2}
    assert set(tiny.sample(200, where={"label": [0, 2]}).column("label").to_pylist()) == {0, 2}
    assert set(tiny.sample(200, where={"label": None}).column("label").to_pylist()) == {None}
    effort = tiny.sample(200, where={"label": 2}).provenance
    assert effort is not None


def test_a_condition_on_a_pixel_is_met_by_turning_down_or_given_up(tiny: ImageDiffusion) -> None:
    column = np.asarray(tiny.sample(500).column("pixel_1_1"))
    middle = int(np.median(column))
    made = tiny.sample(40, where={"label": 1, "pixel_1_1": {">=": middle}})
    assert min(made.column("pixel_1_1").to_pylist()) >= middle
    assert set(made.column("label").to_pylist()) == {1}
    with pytest.raises((ConditionError, GenerationError), match=r"none of 1,000 images|no row"):
        tiny.sample(10, where={name: {">=": 15} for name in ("pixel_0_0", "pixel_3_3", "pixel_0_3", "pixel_1_1")})


# reproducible ---------------------------------------------------------------------------------------------------------


def test_what_is_drawn_does_not_depend_on_how_many_cores_there_are(
    tiny: ImageDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synth.generators.image_diffusion.BLOCK", 640)  # 40 images
    drawn = []
    for cores in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        drawn.append(tiny.sample(300, seed=5).digest())
    assert drawn[0] == drawn[1]
    tiny.save(tmp_path / "model")
    assert load(tmp_path / "model").sample(300, seed=5).digest() == drawn[0]


def test_a_fit_that_keeps_a_checkpoint_gives_the_same_model(tiny: ImageDiffusion, tmp_path: Path) -> None:
    kept = ImageDiffusion(**TINY.get_params()).fit(tiny_digits(), seed=0, checkpoint=tmp_path / "kept")
    assert kept.digest() == tiny.digest()
    assert not (tmp_path / "kept").exists()


def test_the_registry_knows_it_and_needs_no_torch_to() -> None:
    code = "import sys; from synth.generators import by_name; by_name('image-diffusion'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr("synth.generators._training.find_spec", lambda name: None if name == "diffusers" else there(name))
    with pytest.raises(MissingExtraError, match="diffusers"):
        ImageDiffusion(**TINY.get_params()).fit(tiny_digits())


@pytest.mark.parametrize("shape", [(5, 7), (6, 5, 3), (2, 2)])
def test_images_of_any_shape_keep_shape_and_types(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(3, 200, (60, *shape), dtype=np.uint8)
    table = read(as_rows(images, np.arange(60) % 2 == 0), target="label")
    made = ImageDiffusion(epochs=1, widths=(8, 8), steps=2).fit(table).sample(20)
    assert made.arrow.schema == table.arrow.schema
    low, high = images.min(axis=0).reshape(-1), images.max(axis=0).reshape(-1)
    for place, name in enumerate(ImageShape.of(table.schema).names):  # type: ignore[union-attr]
        values = np.asarray(made.column(name))
        assert low[place] <= values.min()
        assert values.max() <= high[place]


def test_the_estimate_grows_with_the_work() -> None:
    table = tiny_digits()
    small, large = (ImageDiffusion(widths=widths).estimate(table) for widths in ((8, 16), (64, 128)))
    assert small.seconds < large.seconds
    assert small.model_bytes < large.model_bytes
    model = ImageDiffusion(epochs=1, widths=(16, 32)).fit(table)
    held = sum(values.nbytes for values in model._weights.values())
    assert held / 3 < ImageDiffusion(epochs=1, widths=(16, 32)).estimate(table).model_bytes < 3 * held


# refused --------------------------------------------------------------------------------------------------------------


def test_a_table_without_images_is_told_what_an_image_table_is() -> None:
    with pytest.raises(DataError, match="holds no images: an image table has a column of whole numbers for each pixel"):
        TINY.fit(example_table())


def test_other_columns_missing_labels_and_missing_pixels_are_refused() -> None:
    images, labels = digits()
    rows = as_rows(images[:50], labels[:50])
    more = rows.append_column("age", pa.array(np.arange(50) % 9))
    with pytest.raises(DataError, match="column 'age' is neither a pixel nor the target; drop it"):
        TINY.fit(read(more, target="label"))
    with pytest.raises(DataError, match="the images have no label"):
        TINY.fit(read(rows))
    with pytest.raises(DataError, match="the images have no label"):
        TINY.fit(read(rows, target="label", kinds={"label": "integer"}))
    holed = pa.array(images[:50, 2, 2], mask=np.arange(50) < 3)
    with pytest.raises(DataError, match="3 images lack 'pixel_2_2'"):
        TINY.fit(read(rows.set_column(rows.column_names.index("pixel_2_2"), "pixel_2_2", holed), target="label"))


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("widths", value) for value in ((12,), (), 32, (True,))), ("guidance", -1.0), ("dropout", 1.0), ("steps", 0)],
)
def test_hyperparameters_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name} is"):
        ImageDiffusion(**{name: value}).fit(tiny_digits())
    with pytest.raises(ConfigError, match="raise drop_label"):
        ImageDiffusion(drop_label=0.0).fit(tiny_digits())
