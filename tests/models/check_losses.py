"""Checks of networks and losses that need torch; `test_pipeline.py` runs this file as a program."""

import numpy as np
import torch

from models.training import losses
from models.training.camera import CameraEffects
from models.training.nets import FaceDetector, PointRefiner, expected_points, fold


def check_folding_changes_nothing() -> None:
    torch.manual_seed(1)
    x = torch.rand(2, 3, 96, 96) * 255
    network = PointRefiner()
    for ours, folded in zip(network(x), fold(network)(x), strict=True):
        assert torch.allclose(ours, folded, atol=1e-4)


def check_the_bilinear_map_means_the_point() -> None:
    points = torch.tensor([[[33.0, 47.5], [10.1, 20.2], [60, 61.7], [80.3, 12], [50, 50]]])
    heat = torch.full((1, 5, 24, 24), -30.0, requires_grad=True)
    optimiser = torch.optim.Adam([heat], 1.0)
    for _ in range(150):
        optimiser.zero_grad()
        losses.maps_loss(heat, points).backward()
        optimiser.step()
    assert (expected_points(heat) - points).abs().max() < 0.15
    assert losses.points_loss(expected_points(heat), points) < 0.05


def check_the_heat_loss_knows_the_centre() -> None:
    heat = torch.zeros(1, 20, 28)
    heat[0, 5, 7] = 1
    heat[0, 5, 8] = 0.6
    heat[0, 12:15, 20:24] = -1
    right = torch.full((1, 20, 28), -6.0)
    right[0, 5, 7] = 6
    wrong = right.roll(4, dims=2)
    unknown = right.clone()
    unknown[0, 13, 21] = 6
    assert losses.heat_loss(right, heat) < 0.05
    assert losses.heat_loss(wrong, heat) > 5
    assert losses.heat_loss(unknown, heat) == losses.heat_loss(right, heat)


def check_values_count_relative_to_the_face() -> None:
    target = torch.zeros(1, 14, 20, 28)
    weight = torch.zeros(1, 20, 28)
    results = []
    for size in (2.0, 8.0):
        target[:, 2:4] = float(np.log(size))
        weight[0, 4, 4] = 1 / size
        values = target.clone()
        values[0, 5, 4, 4] += 0.1 * size  # a tenth of the face
        results.append(losses.values_loss(values, target, weight, beta=1e-6).item())
    assert abs(results[0] - 0.1) < 1e-3
    assert abs(results[1] - 0.1) < 1e-3


def check_the_margin_head_separates() -> None:
    torch.manual_seed(2)
    people = torch.arange(4).repeat(4)
    embeddings = torch.nn.Parameter(torch.randn(16, 8))
    head = losses.MarginHead(8, 4)
    optimiser = torch.optim.Adam([embeddings, *head.parameters()], 0.05)
    first = head(embeddings, people).item()
    for _ in range(100):
        optimiser.zero_grad()
        head(embeddings, people).backward()
        optimiser.step()
    assert head(embeddings, people).item() < first / 4
    unit = torch.nn.functional.normalize(embeddings.detach())
    same = people[:, None] == people[None]
    assert (unit @ unit.t())[same].mean() > (unit @ unit.t())[~same].mean() + 0.3


def check_distillation_is_zero_at_the_teacher() -> None:
    features, projection = torch.randn(5, 16), torch.randn(8, 16)
    assert losses.distillation_loss(features, features, projection) == 0
    assert losses.distillation_loss(features + 1, features, projection) > 0.1


def check_the_camera_stays_in_range_and_can_be_off() -> None:
    pictures = torch.randint(0, 256, (16, 3, 40, 56)).float()
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    off = CameraEffects(torch.Generator().manual_seed(1), strength=0)(pictures.clone())
    assert torch.allclose(off, pictures, atol=1e-3)
    on = CameraEffects(torch.Generator().manual_seed(1))(pictures.clone())
    assert on.min() >= 0
    assert on.max() <= 255
    assert (on - pictures).abs().mean() > 5


def check_an_untrained_detector_finds_little() -> None:
    torch.manual_seed(3)
    score, box, points = FaceDetector()(torch.rand(1, 3, 160, 224) * 255)
    assert score.shape == (1, 1, 20, 28)
    assert box.shape == (1, 4, 20, 28)
    assert points.shape == (1, 10, 20, 28)
    assert torch.sigmoid(score).mean() < 0.1


if __name__ == "__main__":
    for name, function in list(globals().items()):
        if name.startswith("check_"):
            function()
            print(name)
