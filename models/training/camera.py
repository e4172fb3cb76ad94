"""What a gate's camera does to a picture, applied to whole batches in torch to cost little.

Low light and its noise, exposure, white balance, the cast of a phone's screen on a face, grey
(infrared) pictures, defocus, motion. The common effects are one linear step over the batch,
done in place; the rare ones touch only the pictures that have them. Done picture by picture or
operation by operation, all this would cost more than the training step.
"""

import torch
from torch import Tensor
from torch.nn import functional

DRAWN_NOISE = 4_000_000


class CameraEffects:
    """Random camera effects on (N, 3, H, W) float pictures, 0..255; geometry is left alone.

    Args:
        generator: Source of all randomness.
        strength: 0 leaves pictures as they are, 1 is what a gate sees.
    """

    def __init__(self, generator: torch.Generator, strength: float = 1.0) -> None:
        self._generator = generator
        self._strength = strength
        # Drawing noise costs more than a training step's first layer: draw once, then cut from it.
        self._noise = torch.randn(DRAWN_NOISE, generator=generator)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Give the pictures as the camera would; `pictures` is used up."""
        count = len(pictures)
        self._defocus(pictures)
        self._turn_grey(pictures)
        dark = self._some(count, 0.15)
        light = torch.exp(self._normal(count, 1) * 0.28)
        light = torch.where(dark[:, None], light * (0.15 + 0.4 * self._uniform(count, 1)), light)
        contrast = torch.exp(self._normal(count, 1) * 0.18)
        gain = light * contrast * torch.exp(self._normal(count, 3) * 0.08)
        middle = pictures[:, :, ::8, ::8].mean(dim=(1, 2, 3))[:, None] * light
        lift = middle * (1 - contrast) + self._normal(count, 1) * 12
        pictures.mul_(gain[:, :, None, None]).add_(lift[:, :, None, None])
        self._add_screen_light(pictures)
        amount = torch.where(dark, 10.0, 3.5) * self._uniform(count).square() * self._strength
        self._add_grain(pictures, amount)
        return pictures.clamp_(0, 255)

    def _defocus(self, pictures: Tensor) -> None:
        """Blur one picture in four: out of focus, or along a line by motion."""
        chosen = self._some(len(pictures), 0.25)
        if not bool(chosen.any()):
            return
        length = int(torch.randint(1, 3, (1,), generator=self._generator)) * 2 + 1
        kernel = torch.ones(length, length)
        kind = int(torch.randint(0, 3, (1,), generator=self._generator))
        if kind == 1:
            kernel = torch.zeros(length, length)
            kernel[length // 2] = 1
        elif kind == 2:
            kernel = torch.eye(length)
        kernel = (kernel / kernel.sum()).expand(3, 1, length, length)
        soft = functional.pad(pictures[chosen], (length // 2,) * 4, mode="replicate")
        pictures[chosen] = functional.conv2d(soft, kernel, groups=3)

    def _turn_grey(self, pictures: Tensor) -> None:
        chosen = self._some(len(pictures), 0.35)
        pictures[chosen] = pictures[chosen].mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)

    def _add_screen_light(self, pictures: Tensor) -> None:
        """Add a coloured glow from one side, as from the phone that is held up."""
        chosen = self._some(len(pictures), 0.2)
        count = int(chosen.sum())
        rows, columns = pictures.shape[2:]
        y = torch.linspace(-1, 1, rows).view(1, 1, rows, 1)
        x = torch.linspace(-1, 1, columns).view(1, 1, 1, columns)
        slope = (torch.rand(count, 2, 1, 1, generator=self._generator) - 0.5) * 2
        ramp = (1 + slope[:, :1] * x + slope[:, 1:] * y) * 0.5
        colour = torch.rand(count, 3, 1, 1, generator=self._generator) * 70 * self._strength
        pictures[chosen] = pictures[chosen] + ramp * colour

    def _add_grain(self, pictures: Tensor, amount: Tensor) -> None:
        """Add noise, cut out of the drawn noise at a random place for each picture."""
        size = pictures[0].numel()
        starts = torch.randint(0, DRAWN_NOISE - size, (len(pictures),), generator=self._generator)
        rows = pictures.permute(0, 2, 3, 1)  # as they lie in memory: channels last
        for row, start, value in zip(rows, starts.tolist(), amount.tolist(), strict=True):
            row.add_(self._noise[start : start + size].view(row.shape), alpha=value)

    def _uniform(self, *shape: int) -> Tensor:
        """Give uniform values about 0.5, drawn towards 1 as the strength falls."""
        drawn = torch.rand(shape, generator=self._generator)
        return 1 - (1 - drawn) * self._strength

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator) * self._strength

    def _some(self, count: int, share: float) -> Tensor:
        return torch.rand(count, generator=self._generator) < share * self._strength
