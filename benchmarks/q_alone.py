"""How well Q and its part of D cluster real images, without a GAN: a quick look at settings of `RealImageInformation`.

    python benchmarks/q_alone.py --data digits --networks bn sn --seeds 0 1 2 3 --set balance=8.0
    python benchmarks/q_alone.py --data mnist --seeds 0 1 --set "optimizers=Optimizers(d=2e-4)" balance=4.0

D's trunk and the Q head of a default trainer are trained on `RealImageInformation` alone, with a trainer's rates, in a
tenth of the time of `learning.py`. Each run's accuracy under the best matching is measured on training images that are
held back (of the digits: on all), at several steps. Two classes that share a category here will do so beside a
generator too; the reverse does not hold, so what looks good here is to be tried with `learning.py`.
"""

import argparse
import statistics
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch

from infogan_lib import Categorical, InfoGANTrainer, LatentSpec, Noise, Optimizers, Uniform
from infogan_lib.data.pixels import as_float
from infogan_lib.regularizers import RealImageInformation
from meter.data import LabeledImages, available, default_cache, load
from meter.figures import agreement
from meter.networks import NETWORKS, make_pair
from meter.settings import read_settings


def cluster(
    data: LabeledImages,
    networks: str,
    seed: int,
    term: RealImageInformation,
    marks: Sequence[int],
    *,
    optimizers: Optimizers | None = None,
    precision: str = "fp32",
) -> list[float]:
    """Train D's trunk and Q; the accuracy of the categories after each number of steps in `marks`."""
    latent = LatentSpec(z=Noise(62), category=Categorical(data.num_classes), style=Uniform(2))
    size, channels = data.train.shape[-1], data.train.shape[1]
    pair = make_pair(networks, latent.width, size=size, image_channels=channels, channels=32, init="dcgan", seed=seed)
    trainer = InfoGANTrainer(*pair, latent, optimizers=optimizers, seed=seed)
    model, of_d_and_q = trainer.model.train(), [trainer.optimizers["d"], trainer.optimizers["q"]]
    rng = torch.Generator().manual_seed(seed)
    accuracies = []
    for step in range(1, max(marks) + 1):
        real = as_float(data.train[torch.randint(len(data.train), (128,), generator=rng)], (-1, 1))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = term.weight * term(latent, real, model.forward_q(real), model.forward_q, rng)
        model.zero_grad()
        loss.backward()
        for optimizer in of_d_and_q:
            optimizer.step()
        if step in marks:
            accuracies.append(agreement(model, "category", data)[0]["accuracy"])
    return accuracies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=available(), default=["digits"])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["sn"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--marks", nargs="+", type=int, default=[100, 200, 300], help="steps to measure after")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="keywords of RealImageInformation, or optimizers="
    )
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--cache", type=Path, default=default_cache(), help=f"cache ({default_cache()})")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = read_settings(options.set)
    optimizers = settings.pop("optimizers", None)
    term = RealImageInformation("category", **settings)
    for name, networks in product(options.data, options.networks):
        data, last = load(name, folder=options.cache), []
        for seed in options.seeds:
            found = cluster(
                data, networks, seed, term, options.marks, optimizers=optimizers, precision=options.precision
            )
            last.append(found[-1])
            print(f"{name} {networks} seed {seed}: " + ", ".join(f"{value:.1%}" for value in found), flush=True)
        print(f"{name} {networks}: mean {statistics.mean(last):.1%}, worst {min(last):.1%}", flush=True)


if __name__ == "__main__":
    main()
