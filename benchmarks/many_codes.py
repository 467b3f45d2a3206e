"""Sampling and scoring a hundred mixed codes against two, at batch 128.

A hundred: 50 categoricals of 10, 30 of the sizes 2 to 31, and 20 uniform codes. Two: one categorical of 10 and one
uniform. Both run alternately in one process; each row is the median.

    python benchmarks/many_codes.py [--quick]
"""

import argparse
import statistics
import time

import torch

from infogan_lib import Categorical, LatentSpec, Uniform

TWO = LatentSpec(c=Categorical(10), u=Uniform(1))
HUNDRED = LatentSpec(
    {f"c{i}": Categorical(10) for i in range(50)}
    | {f"k{i}": Categorical(i + 2) for i in range(30)}
    | {f"u{i}": Uniform(1) for i in range(20)}
)


def timed(spec: LatentSpec, rng: torch.Generator, backward: bool) -> float:
    """Seconds to draw and score a batch, and to take the gradient if asked for."""
    raw = torch.randn(128, spec.num_outputs, requires_grad=backward)
    started = time.perf_counter()
    loss = spec.nll(raw, spec.sample(128, rng=rng)).mean(0).sum()
    if backward:
        loss.backward()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a check that everything runs")
    rounds = 20 if parser.parse_args().quick else 2000
    # As in any training run, large blocks have been freed before; until then malloc returns each one to the system,
    # and the page faults of getting it back would be most of what is measured.
    large = torch.ones(8_000_000)
    del large
    generator = torch.Generator().manual_seed(0)
    for backward in (False, True):
        seconds = {spec: [timed(spec, generator, backward) for _ in range(10)] for spec in (TWO, HUNDRED)}
        for _ in range(rounds):
            for spec in (TWO, HUNDRED):
                seconds[spec].append(timed(spec, generator, backward))
        two, hundred = (statistics.median(seconds[spec][10:]) for spec in (TWO, HUNDRED))
        what = "sample, score and gradient" if backward else "sample and score"
        print(f"{what:<28} 2 codes {two * 1e6:6.0f} us   100 codes {hundred * 1e6:6.0f} us   {hundred / two:.2f}x")


if __name__ == "__main__":
    main()
