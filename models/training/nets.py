"""The networks: face detector, point refiner and face embedder.

Rules:
- Dense 3x3 convolutions only. On a CPU a depthwise network of a quarter of the operations trains
  ten times slower, and in int8 at run time it gains nothing.
- No batch normalisation. The two small networks standardise their weights instead (scaled weight
  standardisation, Brock et al. 2021), which costs nothing per pixel and folds into plain
  convolutions before export; the embedder has plain convolutions to begin with.
- Only operators that TFLite has long had as int8: convolution, addition, ReLU, nearest-neighbour
  resizing, pooling, fully connected. tflite-runtime 2.14 has to run the result.
- Pictures come in as they come from the camera: RGB, 0..255, channels last at the border
  (`Deployed`), channels first inside.
"""

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.sizes import POINTS_SIZE, POINTS_STRIDE

# A ReLU halves the second moment and shifts the mean; convolutions whose output meets one start
# with this gain, so that a signal of unit variance keeps it (NF-ResNets, eq. 3).
RELU_GAIN = math.sqrt(2.0 / (1.0 - 1.0 / math.pi))
# Residual branches start small, so that a block begins close to the identity.
BRANCH_GAIN = 0.2

# dlib's training mean, kept because the embedder's initial weights expect it.
EMBEDDER_MEAN = (122.782, 117.001, 104.298)


class StandardisedConv(nn.Conv2d):
    """A convolution whose weights are standardised per output channel at every use.

    The learned per-channel gain takes the place of a normalisation layer's scale. `folded` gives
    the equal plain convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2)
        # Their size does not change the output, only how fast Adam's steps of one size turn them.
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.weight[0].numel()))
        nn.init.zeros_(self.bias)
        self.gain = nn.Parameter(torch.full((outputs, 1, 1, 1), RELU_GAIN))

    def standardised(self) -> Tensor:
        """The effective weights, (outputs, inputs, kernel, kernel)."""
        fan_in = self.weight[0].numel()
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        scale = self.gain * torch.rsqrt(variance * fan_in + 1e-6)
        return (self.weight - mean) * scale

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) with the standardised weights."""
        return functional.conv2d(x, self.standardised(), self.bias, self.stride, self.padding)

    def folded(self) -> nn.Conv2d:
        """The plain convolution that computes the same."""
        plain = nn.Conv2d(
            self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding
        )
        plain.weight.data = self.standardised().detach().clone()
        plain.bias.data = self.bias.detach().clone()
        return plain


def fold(network: nn.Module) -> nn.Module:
    """Copy `network` with every standardised convolution replaced by its plain equal."""
    result = copy.deepcopy(network).eval()
    for parent in list(result.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, StandardisedConv):
                setattr(parent, name, child.folded())
    return result


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity; `middle` channels between them."""

    def __init__(self, channels: int, middle: int | None = None) -> None:
        super().__init__()
        middle = middle or channels
        self.first = StandardisedConv(channels, middle, 3)
        self.second = StandardisedConv(middle, channels, 3)
        self.second.gain.data.fill_(BRANCH_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class Down(nn.Module):
    """Halve the resolution with a strided 3x3 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = StandardisedConv(inputs, outputs, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/2, W/2)."""
        return functional.relu(self.conv(x))


def normalised(x: Tensor) -> Tensor:
    """Camera values 0..255 to about unit variance."""
    return x * (1.0 / 64.0) - 2.0


class FaceDetector(nn.Module):
    """Anchor-free detector with one output level at stride 8.

    A small feature pyramid: features at strides 8, 16 and 32, the deep ones brought back up, so
    that one map serves faces of 10 to 150 px in the 224x160 input. Outputs, for each cell:
    one score (logit), four box values (centre offset in strides, log size in strides) and ten point
    offsets in strides from the cell's centre.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (20, 32, 64, 96)) -> None:
        super().__init__()
        stem, fine, middle, deep = widths
        self.stem = StandardisedConv(3, stem, 5, 4)
        self.fine = Down(stem, fine)
        self.middle = nn.Sequential(Down(fine, middle), Residual(middle, middle // 2))
        self.deep = nn.Sequential(Down(middle, deep), Residual(deep))
        self.deep_to_middle = StandardisedConv(deep, middle, 1)
        self.middle_to_fine = StandardisedConv(middle, fine, 1)
        self.shared = StandardisedConv(fine, fine + 16, 3)
        self.score = nn.Conv2d(fine + 16, 1, 1)
        self.box = nn.Conv2d(fine + 16, 4, 1)
        self.points = nn.Conv2d(fine + 16, 10, 1)
        for head in (self.score, self.box, self.points):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        self.score.bias.data.fill_(-4.6)  # one cell in a hundred: the focal loss starts quietly

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 3, 160, 224) pictures to score, box and point maps at stride 8."""
        x = functional.relu(self.stem(normalised(x)))
        fine = self.fine(x)
        middle = self.middle(fine)
        deep = self.deep(middle)
        middle = functional.relu(middle + doubled(self.deep_to_middle(deep)))
        fine = functional.relu(fine + doubled(self.middle_to_fine(middle)))
        shared = functional.relu(self.shared(fine))
        return self.score(shared), self.box(shared), self.points(shared)


def doubled(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by two."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class PointRefiner(nn.Module):
    """A second, closer look at one upright 96x96 face crop.

    Gives a logit that says whether this is a face at all, so that what passed the first network
    by mistake ends here, and one map of logits a point at stride 4: the point is the mean place
    under the map's softmax (`expected_points`). Coordinates from a fully connected layer were
    tried first and learned far more slowly.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (12, 24, 40, 64)) -> None:
        super().__init__()
        stem, fine, middle, deep = widths
        self.fine = nn.Sequential(Down(3, stem), Down(stem, fine), Residual(fine, fine // 2))
        self.middle = nn.Sequential(Down(fine, middle), Residual(middle))
        self.deep = nn.Sequential(Down(middle, deep), Residual(deep))
        self.deep_to_middle = StandardisedConv(deep, middle, 1)
        self.middle_to_fine = StandardisedConv(middle, fine, 1)
        self.shared = StandardisedConv(fine, 32, 3)
        self.heat = nn.Conv2d(32, 5, 1)
        self.squeeze = StandardisedConv(deep, 16, 1)
        self.score = nn.Linear((POINTS_SIZE // 16) ** 2 * 16, 1)
        for head in (self.heat, self.score):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, 96, 96) crops to scores (N, 1) and point maps (N, 5, 24, 24), both logits."""
        fine = self.fine(normalised(x))
        middle = self.middle(fine)
        deep = self.deep(middle)
        score = self.score(functional.relu(self.squeeze(deep)).flatten(1))
        middle = functional.relu(middle + doubled(self.deep_to_middle(deep)))
        fine = functional.relu(fine + doubled(self.middle_to_fine(middle)))
        return score, self.heat(functional.relu(self.shared(fine)))


def expected_points(heat: Tensor) -> Tensor:
    """The points (N, 5, 2) in crop pixels that maps of logits (N, 5, H, W) at stride 4 mean."""
    rows, columns = heat.shape[2:]
    share = torch.softmax(heat.flatten(2).float(), dim=2).view(heat.shape)
    x = (share.sum(dim=2) * torch.arange(columns)).sum(dim=2)
    y = (share.sum(dim=3) * torch.arange(rows)).sum(dim=2)
    return torch.stack([x, y], dim=2) * POINTS_STRIDE + (POINTS_STRIDE - 1) / 2


class FaceEmbedder(nn.Module):
    """Residual network after dlib's face recognition network, 150x150 picture to 128 values.

    `blocks` lists (channels, halves the resolution) a block. Without normalisation layers: dlib's
    affine layers are folded into the convolutions, and training goes on from there.
    """

    FULL = (
        *((32, False),) * 3,
        (64, True),
        *((64, False),) * 3,
        (128, True),
        *((128, False),) * 2,
        (256, True),
        *((256, False),) * 2,
        (256, True),
    )

    def __init__(
        self, blocks: Iterable[tuple[int, bool]] = FULL, stem: int = 32, size: int = 128
    ) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        convs = [nn.Conv2d(3, stem, 7, 2)]
        channels = stem
        for width, halves in self.blocks:
            # No padding where the resolution is halved: as in dlib, whose weights these continue.
            convs.append(nn.Conv2d(channels, width, 3, 2 if halves else 1, 0 if halves else 1))
            convs.append(nn.Conv2d(width, width, 3, 1, 1))
            channels = width
        self.convs = nn.ModuleList(convs)
        self.fc = nn.Linear(channels, size)
        self.register_buffer("mean", torch.tensor(EMBEDDER_MEAN).view(1, 3, 1, 1))
        for index, conv in enumerate(self.convs):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
            if index and index % 2 == 0:
                conv.weight.data *= BRANCH_GAIN

    def features(self, x: Tensor) -> Tensor:
        """Map (N, 3, 150, 150) pictures, 0..255, to pooled features (N, channels)."""
        x = functional.relu(self.convs[0]((x - self.mean) / 256))
        x = functional.max_pool2d(x, 3, 2)
        for index, (_, halves) in enumerate(self.blocks):
            first, second = self.convs[1 + 2 * index], self.convs[2 + 2 * index]
            branch = second(functional.relu(first(x)))
            x = functional.relu(_add_padded(branch, functional.avg_pool2d(x, 2) if halves else x))
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, 150, 150) pictures, 0..255, to embeddings (N, 128), not normalised."""
        return self.fc(self.features(x))


def _add_padded(first: Tensor, second: Tensor) -> Tensor:
    """Add two maps, the smaller one filled with zeros at its end, as dlib's add_prev does."""
    channels, rows, columns = (max(first.shape[i], second.shape[i]) for i in (1, 2, 3))

    def padded(x: Tensor) -> Tensor:
        missing = (columns - x.shape[3], rows - x.shape[2], channels - x.shape[1])
        if not any(missing):
            return x
        return functional.pad(x, (0, missing[0], 0, missing[1], 0, missing[2]))

    return padded(first) + padded(second)


class Deployed(nn.Module):
    """A network as TFLite sees it: channels-last pictures in, channels-last maps out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = fold(network)

    def forward(self, x: Tensor) -> tuple[Tensor, ...] | Tensor:
        """Map (N, H, W, 3) pictures to the network's outputs, 4-D ones channels last."""
        outputs = self.network(x.permute(0, 3, 1, 2))
        if isinstance(outputs, Tensor):
            return outputs
        return tuple(o.permute(0, 2, 3, 1) if o.dim() == 4 else o for o in outputs)


def multiply_accumulates(network: nn.Module, rows: int, columns: int) -> int:
    """Count the multiply-accumulates of one (1, 3, rows, columns) picture."""
    total = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output[0].numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.inference_mode():
        network(torch.zeros(1, 3, rows, columns))
    for hook in hooks:
        hook.remove()
    return total
