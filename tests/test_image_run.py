"""The whole job on images: from files to a verdict, and, where it approves, to an export that anybody verifies."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import synth
from synth.config import RunConfig
from synth.data.images import ImageShape
from synth.gate.policy import Policy
from synth.replay import replay
from synth.run import run
from tests.digits import digits, image_table

pytest.importorskip("diffusers", reason="images are drawn by diffusers: pip install 'synth[torch]'")

IMAGES, LABELS = digits()


def save_idx(folder: Path) -> Path:
    for name, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"digits-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))
    return folder / "digits-images-idx3-ubyte.gz"


def config(source: Path, **params: object) -> RunConfig:
    return RunConfig.parse(
        {
            "name": "digits",
            "data": {"source": str(source)},
            "split": {"holdout": 0.4},
            "generator": {"name": "image-diffusion", "params": params},
            "sample": {"n": 600},
            "policy": "image-release",
        }
    )


@pytest.mark.slow
def test_digits_go_from_a_file_to_an_export_that_is_verified(tmp_path: Path) -> None:
    settings = {"epochs": 25, "widths": [16, 32], "batch_rows": 32, "learning_rate": 2e-3}
    done = run(config(save_idx(tmp_path), **settings), out=tmp_path / "run")
    assert done.verdict.decision == "approved", done.verdict
    assert synth.verify(tmp_path / "run" / "export")
    replay(tmp_path / "run" / "export", rows=(0, 599))  # it raises where a row is not drawn again to the last pixel
    made = pq.read_table(tmp_path / "run" / "export" / "data.parquet")
    assert (len(made), made.num_columns, str(made.schema.field("pixel_3_3").type)) == (600, 65, "uint8")
    inside, outside = ((tmp_path / "run" / name).read_text() for name in ("report.html", "export/report.html"))
    assert inside.count("<img") == 2
    assert outside.count("<img") == 1


def test_what_is_not_like_the_real_images_is_not_exported(tmp_path: Path) -> None:
    done = run(config(save_idx(tmp_path), epochs=1, widths=[8], steps=2), out=tmp_path / "run")
    assert done.verdict.decision == "rejected"
    assert "image.frechet" in [finding.check for finding in done.verdict.blocking]
    assert not (tmp_path / "run" / "export").exists()


def test_fresh_images_pass_the_policy_and_copies_do_not() -> None:
    parts = [image_table(IMAGES[rows], LABELS[rows]) for rows in (slice(0, 600), slice(600, 1_200), slice(1_200, 1_797))]
    policy = Policy.load("image-release")
    assert policy.assess(synth.evaluate(*parts)).decision == "approved"
    copied = policy.assess(synth.evaluate(parts[0], parts[1], parts[0]))
    assert copied.decision == "rejected"
    assert {"image.copies", "privacy.exact_copies"} <= {finding.check for finding in copied.blocking}


def test_mnist_is_read_and_judged_in_minutes(shared_data: Callable[[str], Path]) -> None:
    shared_data("mnist_t10k-labels-idx1-ubyte.gz")
    table = synth.read(shared_data("mnist_t10k-images-idx3-ubyte.gz"))
    assert str(ImageShape.of(table.schema)) == "28 × 28"
    assert len(table) == 10_000
    assert table.schema.target is not None
    assert table.schema.target.categories == tuple(range(10))
    train, holdout = table.head(3_000).split(holdout=0.5, seed=0)
    found = synth.evaluate(train, holdout, train.head(500), only=["image.copies", "privacy.exact_copies"])
    assert all(m.score is not None and m.score.value == 1 for m in found)
