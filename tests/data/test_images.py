"""Images are rows of an ordinary table, and come in from IDX files and folders as they are, or not at all."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synth.data.images import ImageShape, as_rows
from synth.data.schema import Kind
from synth.data.sources import read
from synth.errors import DataError
from tests.digits import digits

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (30, 5, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (30, 5, 7, 3), dtype=np.uint8)
SHOWN = np.arange(30) % 3


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    """Writes a pair of IDX files, and gives the path of the images'."""

    def save(images: bytes, labels: bytes | None = idx(SHOWN), name: str = "some-images-idx3-ubyte", end: str = "") -> Path:
        pack = gzip.compress if end == ".gz" else bytes
        (tmp_path / f"{name}{end}").write_bytes(pack(images))
        if labels is not None:
            (tmp_path / f"{name.replace('images-idx3', 'labels-idx1')}{end}").write_bytes(pack(labels))
        return tmp_path / f"{name}{end}"

    return save


def pixels(table: object) -> np.ndarray:
    shape = ImageShape.of(table.schema)  # type: ignore[attr-defined]
    assert shape is not None
    return shape.stack(lambda name: np.asarray(table.column(name)))  # type: ignore[attr-defined]


# tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("images", "said"), [(GREY, "5 × 7"), (COLOUR, "5 × 7 × 3")])
def test_a_table_of_pixels_is_seen_as_images(images: np.ndarray, said: str) -> None:
    table = read(as_rows(images, SHOWN), target="label")
    shape = ImageShape.of(table.schema)
    assert str(shape) == said
    assert np.array_equal(pixels(table).reshape(images.shape), images)
    assert shape is not None
    assert shape.names[:2] == (("pixel_0_0", "pixel_0_1") if images is GREY else ("pixel_0_0_0", "pixel_0_0_1"))
    assert all(np.array_equal(back, table.column(name)) for name, back in shape.unstack(images.reshape(30, 5, 7, -1)).items())


def test_columns_stand_in_any_order() -> None:
    table = read(as_rows(GREY, SHOWN), target="label")
    assert np.array_equal(pixels(table.select(table.columns[::-1])), pixels(table))


def test_scikit_learns_frame_is_an_image_table() -> None:
    from sklearn.datasets import load_digits

    table = read(load_digits(as_frame=True).frame, target="target")
    assert str(ImageShape.of(table.schema)) == "8 × 8"


@pytest.mark.parametrize("lost", ["pixel_0_0", "pixel_4_6", "pixel_2_3"])
def test_a_grid_with_a_hole_is_none(lost: str) -> None:
    table = read(as_rows(GREY, SHOWN).drop_columns([lost]), target="label")
    assert ImageShape.of(table.schema) is None


def test_other_tables_hold_no_images() -> None:
    assert ImageShape.of(read(pa.table({"a": SHOWN, "pixel": SHOWN})).schema) is None
    assert ImageShape.of(read(pa.table({"pixel_0_0": np.arange(30) % 7, "pixel_0_1": np.arange(30) % 5})).schema) is None
    halves = {f"pixel_{r}_{c}": np.arange(30) / 7 for r in range(2) for c in range(2)}
    assert ImageShape.of(read(pa.table(halves)).schema) is None


# IDX ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", ".gz"])
def test_an_idx_file_is_read_with_its_labels(files: Callable[..., Path], end: str) -> None:
    table = read(files(idx(GREY), end=end))
    assert np.array_equal(pixels(table)[..., 0], GREY)
    assert table.column("label").to_pylist() == SHOWN.tolist()
    assert table.schema.target is not None
    assert (table.schema.target.name, table.schema.target.kind) == ("label", Kind.CATEGORICAL)
    again = read(files(idx(GREY), end=end), schema=table.schema)
    assert again.digest() == table.digest()


def test_many_classes_are_classes_still(files: Callable[..., Path]) -> None:
    table = read(files(idx(GREY), idx(np.arange(30))))
    assert table.schema.target is not None
    assert table.schema.target.kind is Kind.CATEGORICAL


def test_another_target_may_be_named(files: Callable[..., Path]) -> None:
    assert read(files(idx(GREY)), schema={"target": "pixel_0_0"}).schema.target.name == "pixel_0_0"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (idx(GREY)[:-1], idx(SHOWN), r"says that it holds 1,050 bytes \(30 × 5 × 7\), and holds 1,049"),
        (idx(GREY) + b"x", idx(SHOWN), "and holds 1,051"),
        (b"\0\0\x08\x03\0\0", idx(SHOWN), "is no IDX file of bytes"),
        (b"", idx(SHOWN), "is no IDX file of bytes"),
        (b"PAR1", idx(SHOWN), "begins with 50 41 52 31"),
        (idx(GREY, kind=13), idx(SHOWN), "is no IDX file of bytes"),
        (idx(GREY), idx(SHOWN[:-1]), "holds 30 images, and some-labels-idx1-ubyte 29 labels"),
        (idx(GREY), None, "the labels of some-images-idx3-ubyte are not there"),
        (idx(SHOWN), idx(SHOWN), "1 and 1 dimensions"),
        (idx(GREY[:0]), idx(SHOWN[:0]), "holds no image"),
        (idx(np.zeros((1, 200, 200))), idx(SHOWN[:1]), "40,000 numbers, each of which would be a column"),
    ],
)
def test_idx_files_that_do_not_hold_what_they_say_are_refused(
    files: Callable[..., Path], images: bytes, labels: bytes | None, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read(files(images, labels))


def test_a_damaged_archive_and_a_file_of_labels_are_refused(files: Callable[..., Path], tmp_path: Path) -> None:
    path = files(idx(GREY), end=".gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be unpacked"):
        read(path)
    with pytest.raises(DataError, match="give the one named …images-idx3-ubyte"):
        read(tmp_path / "some-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match="is not there"):
        read(tmp_path / "other-images-idx3-ubyte")


# folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    image = pytest.importorskip("PIL.Image", reason="folders of images are read by Pillow: pip install 'synth[torch]'")

    def save(images: np.ndarray) -> Path:
        for number, (picture, label) in enumerate(zip(images, SHOWN, strict=True)):
            (tmp_path / "all" / "abc"[label]).mkdir(parents=True, exist_ok=True)
            image.fromarray(picture).save(tmp_path / "all" / "abc"[label] / f"{number:03}.png")
        return tmp_path / "all"

    return save


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_folder_of_images_by_class_is_read(folder: Callable[..., Path], images: np.ndarray) -> None:
    table = read(folder(images))
    order = np.argsort(SHOWN, kind="stable")  # class by class
    assert np.array_equal(pixels(table).reshape(images.shape), images[order])
    assert table.column("label").to_pylist() == ["abc"[label] for label in SHOWN[order]]
    assert table.schema.target is not None


def test_whatever_else_lies_in_the_folder_is_refused(folder: Callable[..., Path]) -> None:
    from PIL import Image

    path = folder(GREY)
    (path / ".hidden").write_text("")  # but for hidden files
    assert len(read(path)) == 30
    for other, words in [("notes.txt", "lies beside the folders"), ("a/notes.txt", "take it away")]:
        (path / other).write_text("x")
        with pytest.raises(DataError, match=words):
            read(path)
        (path / other).unlink()
    odd = path / "b" / "odd.png"
    for picture, words in [
        (Image.new("L", (3, 4)), "is 4 × 3 pixels and .*000.png 5 × 7"),
        (Image.new("RGBA", (7, 5)), "has the mode RGBA"),
    ]:
        picture.save(odd)
        with pytest.raises(DataError, match=words):
            read(path)
    odd.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(DataError, match="cannot be read as an image"):
        read(path)


def test_a_folder_without_images_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)


def test_the_digits_are_what_they_were() -> None:
    images, labels = digits()
    assert images.shape == (1797, 8, 8)
    assert (images.min(), images.max(), labels.max()) == (0, 16, 9)
