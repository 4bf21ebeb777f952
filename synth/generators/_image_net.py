"""The network behind `image_diffusion`: diffusers' U-Net on patches, its loss, and the sampler. Needs torch and diffusers."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from torch import Tensor
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from synth.generators._learner import Learner

TIMES = 1_000  # steps from image to noise in training
CURVE: dict[str, Any] = {"num_train_timesteps": TIMES, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
GROUPS = 8  # of each group norm, which is of one image alone


@dataclass(frozen=True)
class Net:
    """What a network is built from."""

    height: int
    width: int
    channels: int
    classes: int
    patch: int
    widths: tuple[int, ...]
    layers: int
    dropout: float
    drop_label: float

    @property
    def step(self) -> int:
        """The sides of what the network sees are multiples of this."""
        return int(self.patch * 2 ** (len(self.widths) - 1))

    @property
    def sides(self) -> tuple[int, int]:
        return -(-self.height // self.step) * self.step, -(-self.width // self.step) * self.step


class Painter(Learner):
    """Velocities of noisy images, given their label or none; label number `classes` stands for none."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        inside = net.channels * net.patch**2
        self.unet: Any = UNet2DModel(  # type: ignore[no-untyped-call]
            sample_size=tuple(side // net.patch for side in net.sides),
            in_channels=inside,
            out_channels=inside,
            block_out_channels=net.widths,
            layers_per_block=net.layers,
            down_block_types=("DownBlock2D",) * len(net.widths),
            up_block_types=("UpBlock2D",) * len(net.widths),
            norm_num_groups=GROUPS,
            resnet_time_scale_shift="scale_shift",  # a norm of few channels would take out what is only added before it
            add_attention=False,
            dropout=net.dropout,
            num_class_embeds=net.classes + 1,
        )
        self.schedule: Any = DDPMScheduler(**CURVE)  # type: ignore[no-untyped-call]

    def forward(self, batch: tuple[Tensor, ...], rng: torch.Generator, turn: str) -> Tensor:
        """Mean squared error of the velocity (Salimans and Ho 2022) at a random time."""
        image, label = batch
        n, device = len(image), image.device
        time = torch.randint(0, TIMES, (n,), generator=rng, device=device)
        noise = torch.randn(image.shape, generator=rng, device=device)
        if self.training:  # (Ho and Salimans 2022)
            none = torch.rand(n, generator=rng, device=device) < self.net.drop_label
            label = torch.where(none, self.net.classes, label)
        noisy = self.schedule.add_noise(image, noise, time)
        wanted = self.schedule.get_velocity(image, noise, time)
        off: Tensor = self.velocity(noisy, time, label) - wanted
        return (off**2).mean(dim=(1, 2, 3))

    def velocity(self, noisy: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """What the U-Net says of images of shape (rows, channels, height, width), padded to its sides and in patches."""
        net, (high, wide) = self.net, self.net.sides
        whole = pad(noisy, (0, wide - net.width, 0, high - net.height), value=-1.0)
        told = self.unet(pixel_unshuffle(whole, net.patch), time, class_labels=label).sample
        return pixel_shuffle(told, net.patch)[:, :, : net.height, : net.width]

    def paint(self, label: Tensor, noise: Tensor, solver: Any, guidance: float) -> Tensor:
        """Images from noise of their shape, given a label each. solver: as `solver_of` gives it; it is left as it was."""
        solver, image = deepcopy(solver), noise
        for time in solver.timesteps:
            image = solver.step(self._guided(image, time.expand(len(image)), label, guidance), time, image).prev_sample
        return image

    def _guided(self, image: Tensor, time: Tensor, label: Tensor, guidance: float) -> Tensor:
        if guidance == 1:
            return self.velocity(image, time, label)
        none = torch.full_like(label, self.net.classes)
        both = self.velocity(torch.cat([image, image]), torch.cat([time, time]), torch.cat([label, none]))
        given, free = both.chunk(2)
        return free + guidance * (given - free)


def solver_of(steps: int) -> Any:
    """DPM-Solver++ of second order, which clips what it takes for the image to [-1, 1]."""
    clipped = {"timestep_spacing": "trailing", "thresholding": True, "sample_max_value": 1.0}
    solver: Any = DPMSolverMultistepScheduler(**CURVE, **clipped)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it turns tensors into arrays as numpy 1 did
        solver.set_timesteps(steps)
    return solver
