"""What a training loop costs per step beside the arithmetic: plain torch, ours on Lightning Fabric, and Lightning's Trainer.

    python -m benchmarks.training_overhead

Prints a table for reports/benchmarks/training_overhead.md. Needs the extra `torch`; the Trainer's row needs the whole of
`lightning`.
"""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from synth.generators._learner import Learner
from synth.generators._training import Plan, train
from synth.progress import silent

ROWS, BATCH, STEPS, REPEATS = 8_192, 256, 320, 5
WIDTHS = (16, 128)  # of the network's two layers: one whose arithmetic is nothing, and one of a tabular network's size


class Small(Learner):
    """Two layers that predict a number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator, turn: str) -> Tensor:
        rows, answers = batch
        return (self.net(rows)[:, 0] - answers) ** 2


def data() -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(0).normal(size=(ROWS, 16)).astype(np.float32)
    return rows, rows.sum(axis=1)


def plain(width: int) -> None:
    net, rng = Small(width), torch.Generator()
    rows, answers = map(torch.from_numpy, data())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    order = torch.randperm(ROWS)
    for step in range(STEPS):
        index = order[torch.arange(step * BATCH, (step + 1) * BATCH) % ROWS]
        net((rows[index], answers[index]), rng, "all").mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def ours(width: int) -> None:
    plan = Plan(epochs=STEPS * BATCH // ROWS, batch_rows=BATCH, learning_rate=1e-3, validation=0, device="cpu")
    train(partial(Small, width), data(), plan, seed=0, progress=silent)


def trainer(width: int) -> None:
    from lightning import pytorch as lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.rng = Small(width), torch.Generator()

        def training_step(self, batch: tuple[Tensor, ...], number: int) -> Tensor:
            return self.net(tuple(batch), self.rng, "all").mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3, fused=True)

    rows = torch.utils.data.TensorDataset(*map(torch.from_numpy, data()))
    loader = torch.utils.data.DataLoader(rows, batch_size=BATCH, shuffle=True)
    lightning.Trainer(
        max_steps=STEPS, accelerator="cpu", gradient_clip_val=1.0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(Module(), loader)  # fmt: skip


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    loops = {"plain torch": plain, "ours, on Lightning Fabric": ours}
    if find_spec("lightning"):
        loops["Lightning's Trainer, DataLoader over a TensorDataset"] = trainer
    threads = torch.get_num_threads()
    print(f"Milliseconds per step of {BATCH} rows, median of {REPEATS} runs of {STEPS:,} steps; threads: {threads}.\n")
    print("| loop | " + " | ".join(f"two layers of {width}" for width in WIDTHS) + " |")
    print("|---|" + "---:|" * len(WIDTHS))
    for name, loop in loops.items():
        loop(WIDTHS[0])  # imports
        cells = []
        for width in WIDTHS:
            seconds = []
            for _ in range(REPEATS):
                begun = time.perf_counter()
                loop(width)
                seconds.append(time.perf_counter() - begun)
            cells.append(f"{1e3 * statistics.median(seconds) / STEPS:.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
