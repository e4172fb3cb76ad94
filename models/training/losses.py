"""The losses: focal heat map, weighted values, points; distillation and angular margin.

Every function takes and gives float32 tensors; under autocast, convert before.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.sizes import POINTS_STRIDE


def heat_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CenterNet (Zhou et al. 2019, eq. 1).

    Args:
        logits: (N, H, W).
        heat: (N, H, W), 1 at centres, falling off around them, -1 where the truth is unknown.
    """
    probability = torch.sigmoid(logits)
    centre = heat == 1
    known = heat >= 0
    positive = functional.logsigmoid(logits) * (1 - probability) ** 2
    negative = functional.logsigmoid(-logits) * probability**2 * (1 - heat.clamp(min=0)) ** 4
    total = torch.where(centre, positive, negative) * known
    return -total.sum() / centre.sum().clamp(min=1)


def values_loss(values: Tensor, target: Tensor, weight: Tensor, beta: float = 0.02) -> Tensor:
    """Smooth L1 of box and point values where `weight` says so.

    Args:
        values: (N, 14, H, W) box and point values.
        target: The same shape.
        weight: (N, H, W), divided by the face's size in strides: errors count relative to the face.
            The two log sizes are relative already, so their weight is taken back by the true size.
        beta: Where the loss turns from square to linear.
    """
    size = torch.exp((target[:, 2] + target[:, 3]) / 2)
    relative = functional.smooth_l1_loss(values, target, reduction="none", beta=beta)
    linear = torch.cat([relative[:, :2], relative[:, 4:]], dim=1).sum(dim=1)
    logs = relative[:, 2:4].sum(dim=1) * size
    total = (weight * (linear + 0.5 * logs)).sum()
    return total / (weight * size).sum().clamp(min=1)


def points_loss(points: Tensor, target: Tensor, beta: float = 0.3) -> Tensor:
    """Smooth L1 of points in pixels: mean over everything given.

    Args:
        points: Predicted points in pixels, any shape.
        target: The same shape.
        beta: Error in pixels where the loss turns from square to linear.
    """
    return functional.smooth_l1_loss(points, target, beta=beta)


def maps_loss(heat: Tensor, points: Tensor) -> Tensor:
    """Cross entropy of point maps against the four cells around the true point.

    The four cells share the weight as in bilinear interpolation, so the best map's mean place is
    the point itself. It shows the maps where to look long before their mean says so.

    Args:
        heat: (N, 5, H, W) logits at stride 4.
        points: (N, 5, 2) in crop pixels; cells outside the map are clamped to its edge.
    """
    rows, columns = heat.shape[2:]
    place = (points - (POINTS_STRIDE - 1) / 2) / POINTS_STRIDE
    place = torch.stack([place[..., 0].clamp(0, columns - 1), place[..., 1].clamp(0, rows - 1)], -1)
    corner = place.floor()
    share = place - corner
    logs = functional.log_softmax(heat.flatten(2), dim=2)
    total = torch.zeros(())
    for right in (0, 1):
        for down in (0, 1):
            x = (corner[..., 0] + right).clamp(max=columns - 1)
            y = (corner[..., 1] + down).clamp(max=rows - 1)
            weight = (share[..., 0] if right else 1 - share[..., 0]) * (
                share[..., 1] if down else 1 - share[..., 1]
            )
            cell = (y * columns + x).long().unsqueeze(2)
            total = total - (weight * logs.gather(2, cell)[..., 0]).mean()
    return total


def distillation_loss(features: Tensor, teacher: Tensor, projection: Tensor) -> Tensor:
    """Pull a student's pooled features to its teacher's on the clean picture.

    Args:
        features: (N, channels) of the student, which saw the augmented picture.
        teacher: (N, channels) of the teacher, which saw the clean one.
        projection: (embedding, channels): differences count as they show in the embedding, and a
            little besides, so that directions without influence stay put too.
    """
    difference = features - teacher
    seen = (difference @ projection.t()).pow(2).sum(dim=1).mean()
    scale = teacher.pow(2).sum(dim=1).mean().clamp(min=1e-9)
    return seen + 0.3 * difference.pow(2).sum(dim=1).mean() / scale


class MarginHead(nn.Module):
    """Additive angular margin (ArcFace, Deng et al. 2019) over the training people.

    It exists during training only; nothing of it is exported.
    """

    def __init__(self, size: int, people: int, margin: float = 0.4, scale: float = 32.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(people, size) * 0.01)
        self.margin = margin
        self.scale = scale

    def forward(self, embeddings: Tensor, people: Tensor) -> Tensor:
        """Cross entropy of (N, size) embeddings against (N,) indices of people."""
        cosine = functional.linear(
            functional.normalize(embeddings), functional.normalize(self.weight)
        ).clamp(-1 + 1e-6, 1 - 1e-6)
        angle = torch.acos(cosine.gather(1, people[:, None]))
        # Past pi the cosine would rise again; there the margin becomes a plain penalty.
        moved = torch.where(
            angle + self.margin < math.pi,
            torch.cos(angle + self.margin),
            torch.cos(angle) - self.margin * math.sin(self.margin),
        )
        logits = cosine.scatter(1, people[:, None], moved)
        return functional.cross_entropy(logits * self.scale, people)
