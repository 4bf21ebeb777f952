"""Labelled images from files: an IDX file with its labels beside it, or a folder with one of PNG or JPEG for each class."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synth.data.images import as_rows
from synth.errors import DataError, MissingExtraError

SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_PIXELS = 20_000  # numbers per image: each is a column
GRAY, COLOUR = ("1", "L"), ("1", "L", "P", "RGB")  # Pillow's modes that lose nothing as one and as three channels
UBYTE = 8  # the type of whole numbers from 0 to 255 in an IDX file

_IDX = re.compile(r".*idx[0-9]-ubyte(\.gz)?")
_IDX_IMAGES = re.compile(r"(.*)images([-.])idx[34]-ubyte(\.gz)?")


def holds_images(path: Path) -> bool:
    """Whether a path is one that `read_images` reads: told by its name, or by the folders in it."""
    if path.is_dir():
        try:
            folders = (folder for folder in path.iterdir() if folder.is_dir())
            return any(inner.suffix.lower() in SUFFIXES for folder in folders for inner in folder.iterdir())
        except OSError:  # whoever reads it says what it is
            return False
    return _IDX.fullmatch(path.name) is not None


def read_images(path: Path) -> pa.Table:
    """Images and their labels as rows, in the order of the file, or of the names of folders and files.

    Raises DataError for files that cannot be read or do not go together, MissingExtraError for a folder without Pillow.
    """
    images, labels = _from_folder(path) if path.is_dir() else _from_idx(path)
    if not len(images):
        raise DataError(f"{path} holds no image; give a file or folder with some")
    if images[0].size > MOST_PIXELS:
        raise DataError(
            f"an image of {path} has {images[0].size:,} numbers, each of which would be a column; at most {MOST_PIXELS:,} "
            "can be: make the images smaller"
        )
    return as_rows(images, labels)


# IDX (Yann LeCun's MNIST pages) ------------------------------------------------------------------------------------------


def _from_idx(path: Path) -> tuple[np.ndarray, np.ndarray]:
    named = _IDX_IMAGES.fullmatch(path.name)
    if named is None:
        raise DataError(
            f"{path.name!r} is not named as a file of images; give the one named …images-idx3-ubyte, "
            "and its labels are read from …labels-idx1-ubyte beside it"
        )
    images, beside = _idx(path), path.parent / f"{named[1]}labels{named[2]}idx1-ubyte"
    found = [file for file in (beside.with_name(beside.name + ".gz"), beside) if file.is_file()]
    if not found:
        raise DataError(f"the labels of {path.name} are not there: no {beside.name}, nor {beside.name}.gz, in {path.parent}")
    labels = _idx(found[-1])
    if images.ndim not in (3, 4) or labels.ndim != 1:
        raise DataError(
            f"{path.name} and {found[-1].name} have {images.ndim} and {labels.ndim} dimensions, not 3 or 4 and 1; "
            "give the pair as MNIST's pages name it"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{path.name} holds {len(images):,} images, and {found[-1].name} {len(labels):,} labels; "
            "give the labels of these images"
        )
    return images, labels


def _idx(path: Path) -> np.ndarray:
    """The bytes in an IDX file: two zeros, the type, the number of dimensions, each of them big-endian, then the bytes."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as problem:
            raise DataError(f"{path} cannot be unpacked: {problem}; fetch it again") from problem
    start = 4 + 4 * content[3] if len(content) >= 4 else 4
    if len(content) < start or content[:2] != b"\0\0" or content[2] != UBYTE:
        raise DataError(f"{path} is no IDX file of bytes: it begins with {content[:4].hex(' ') or 'nothing'}")
    sizes = [int(size) for size in np.frombuffer(content[4:start], dtype=">u4")]
    wanted = int(np.prod(sizes, dtype=object))
    if len(content) - start != wanted:
        said = f"{wanted:,} bytes ({' × '.join(map(str, sizes))})"
        raise DataError(f"{path} says that it holds {said}, and holds {len(content) - start:,}; fetch it again")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(sizes)


# folders -----------------------------------------------------------------------------------------------------------------


def _from_folder(path: Path) -> tuple[np.ndarray, pa.Array]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as problem:
        raise MissingExtraError("reading a folder of images", "pillow", "torch") from problem
    files = _files(path)
    opened: list[Any] = []
    for file in files:
        try:
            with Image.open(file) as image:
                image.load()
                opened.append(image.convert("RGB") if image.mode == "P" else image.copy())
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as problem:
            raise DataError(f"{file} cannot be read as an image: {problem}") from problem
        if opened[-1].mode not in COLOUR:
            raise DataError(f"{file} has the mode {opened[-1].mode}; save it as 8-bit grey or RGB, without transparency")
        if opened[-1].size != opened[0].size:
            raise DataError(
                f"{file} is {opened[-1].size[1]} × {opened[-1].size[0]} pixels and {files[0]} {opened[0].size[1]} × "
                f"{opened[0].size[0]}; bring all images to one size"
            )
    mode = "L" if all(image.mode in GRAY for image in opened) else "RGB"
    labels = pa.array([file.parent.name for file in files])
    return np.stack([np.asarray(image.convert(mode)) for image in opened]), labels


def _files(path: Path) -> list[Path]:
    """The images in the folders of a folder. Raises DataError for whatever else lies there, hidden files apart."""
    found = []
    for folder in sorted(inner for inner in path.iterdir() if not inner.name.startswith(".")):
        if not folder.is_dir():
            raise DataError(f"{folder} lies beside the folders of images; each image belongs in the folder of its class")
        for file in sorted(inner for inner in folder.iterdir() if not inner.name.startswith(".")):
            if file.suffix.lower() not in SUFFIXES or not file.is_file():
                raise DataError(f"{file} is no {' or '.join(SUFFIXES)} file; take it away")
            found.append(file)
    return found
