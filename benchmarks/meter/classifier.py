"""The meter's own classifier, trained with labels; figures about samples are computed in its 64 features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 64
STEPS = 1900
BATCH_SIZE = 128


def make_classifier(size: int, image_channels: int, num_classes: int) -> nn.Sequential:
    """Build a network from images (N, C, size, size) in [0, 1] to logits (N, num_classes).

    Without its last two layers it gives `FEATURES` features.
    """
    layers: list[nn.Module] = []
    width, side = image_channels, size
    for after in (16, 32, 32) if size > 32 else (16, 32):
        layers += [nn.Conv2d(width, after, 5, 2, 2), nn.ReLU()]
        width, side = after, -(-side // 2)
    body = [nn.Flatten(), nn.Linear(width * side**2, FEATURES), nn.ReLU()]
    return nn.Sequential(*layers, *body, nn.Dropout(0.3), nn.Linear(FEATURES, num_classes))


def train_classifier(images: Tensor, labels: Tensor, *, num_classes: int, steps: int = STEPS) -> nn.Sequential:
    """Train the classifier on labeled images.

    Args:
        images: Images (N, C, H, H), uint8.
        labels: Labels (N,), int64.
        num_classes: Number of classes.
        steps: Number of steps.

    Returns:
        The network, in eval mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = make_classifier(images.shape[-1], images.shape[1], num_classes)
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
        step = 0
        while step < steps:
            for batch in torch.randperm(len(images)).split(BATCH_SIZE)[: steps - step]:
                loss = F.cross_entropy(network(images[batch].float() / 255), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                step += 1
    return network.eval()


@torch.no_grad()
def classify(network: nn.Sequential, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and predicted classes of images.

    Args:
        network: A network of `make_classifier`, in eval mode.
        images: Images (N, C, H, H), uint8 or floats in [0, 1].

    Returns:
        Features (N, `FEATURES`) and predicted classes (N,).
    """
    features, predicted = [], []
    for batch in images.split(500):
        batch = batch.float() / 255 if batch.dtype == torch.uint8 else batch
        features.append(network[:-2](batch))
        predicted.append(network[-1](features[-1]).argmax(1))
    return torch.cat(features), torch.cat(predicted)
