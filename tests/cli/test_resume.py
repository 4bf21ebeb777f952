"""A fit that is killed goes on with --resume to the very model that it would have become."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import synth
from synth.generators._storage import load

pytest.importorskip("torch", reason="networks need the extra: pip install 'synth[torch]'")


def fit(generator: str, *settings: str) -> tuple[str, ...]:
    return ("fit", "people.csv", "--generator", generator, *(part for setting in settings for part in ("--set", setting)))


NETWORKS = {
    "autoregressive": fit("autoregressive", "epochs=60", "batch_rows=32", "width=16", "hidden=16"),
    "diffusion": fit("diffusion", "epochs=60", "batch_rows=32", "width=16", "blocks=1"),
    "gan": fit("gan", "epochs=30", "batch_rows=32", "width=16", "critic_width=16"),
}
FIT = NETWORKS["autoregressive"]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [f"{age},{town}" for age, town in zip(rng.integers(18, 80, 500), rng.choice(["Aachen", "Bonn", "Celle"], 500))]
    (tmp_path / "people.csv").write_text("\n".join(["age,town", *rows]) + "\n")
    return tmp_path


def command(folder: Path, *arguments: str, every: float = 0.05) -> subprocess.Popen[str]:
    """The real command, which writes a checkpoint as often as it can."""
    code = (
        "import synth.generators._training as training; from dataclasses import replace; import synth.generators.base as base\n"
        f"base.Checkpoint = lambda folder, resume: training.Checkpoint(folder, resume, every={every})\n"
        "from synth.cli import main; main()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(synth.__file__).parents[1])}
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=folder, env=environment, **pipes)


def digest(model: Path) -> str:
    return load(model).digest()


@pytest.mark.slow
@pytest.mark.parametrize("generator", NETWORKS)
def test_a_killed_fit_goes_on_to_the_same_model(people: Path, generator: str) -> None:
    fit = NETWORKS[generator]
    broken = command(people, *fit, "--out", "model")
    kept = people / "model.checkpoint"
    while not any(kept.glob("*.pt")):
        assert broken.poll() is None, broken.communicate()
        time.sleep(0.02)
    broken.send_signal(signal.SIGKILL)
    broken.communicate()
    assert not (people / "model").exists()

    other = command(people, *fit, "--out", "model", "--seed", "1", "--resume")
    _, said = other.communicate()
    assert other.returncode == 2
    assert "checkpoint of another fit" in said

    done = command(people, *fit, "--out", "model", "--resume")
    _, said = done.communicate()
    assert done.returncode == 0, said
    whole = command(people, *fit, "--out", "whole")
    _, said = whole.communicate()
    assert whole.returncode == 0, said
    assert digest(people / "model") == digest(people / "whole")
    assert not kept.exists()


@pytest.mark.slow
def test_an_interrupted_fit_says_how_to_go_on_and_a_new_one_what_it_replaces(people: Path) -> None:
    broken = command(people, *FIT, "--out", "model")
    while not (people / "model.checkpoint" / "network.pt").is_file():
        assert broken.poll() is None, broken.communicate()
        time.sleep(0.02)
    broken.send_signal(signal.SIGINT)
    _, said = broken.communicate()
    assert broken.returncode == 2
    assert "the same command with --resume goes on from there" in said
    anew = command(people, *FIT, "--out", "model")
    _, said = anew.communicate()
    assert anew.returncode == 0
    assert "holds an unfinished fit, which --resume would go on with" in said
    assert not (people / "model.checkpoint").exists()


def test_a_method_that_is_soon_done_is_not_resumed(people: Path) -> None:
    done = command(people, "fit", "people.csv", "--out", "model", "--resume")
    _, said = done.communicate()
    assert done.returncode == 2
    assert "trees keeps no checkpoints" in said
    (people / "config.yaml").write_text("{name: people, data: people.csv, generator: trees, policy: research}")
    done = command(people, "run", "config.yaml", "--resume")
    _, said = done.communicate()
    assert done.returncode == 2
    assert "trees keeps no checkpoints" in said
