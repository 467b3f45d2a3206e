"""InfoGAN on sprites: five continuous codes, learned without labels, against the five factors of the images.

Run it without arguments for the whole run of the paper, which needs a GPU; on a CPU give --steps and --width. It leaves
pictures of every code's traversal, metrics, the model and disentanglement scores in the output folder. If it is stopped
at any moment (Ctrl-C, kill, power), the same command resumes from the last checkpoint in that folder.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import infogan_lib as ig
from infogan_lib import recipes
from infogan_lib.callbacks import SampleGrid
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.commands.arguments import add_training_arguments, positive_int, recipe_overrides
from infogan_lib.commands.fitting import fit_recipe, run_facts
from infogan_lib.metrics.disentanglement import disentanglement
from infogan_lib.metrics.information_scores import mutual_information
from infogan_lib.metrics.intervention_scores import FactorGrid, beta_vae_score, factor_vae_score
from infogan_lib.viz import plot_grid, plot_history, plot_traversal, save_figure
from sprites_data import Sprites


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, images="the 737,280 images")
    parser.add_argument(
        "--samples",
        type=positive_int,
        default=10_000,
        help="images for the scores; FactorVAE and BetaVAE take a twentieth as many votes (default: 10,000)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/sprites"),
        help="folder of the run; a run that is in it already is resumed (default: runs/sprites)",
    )
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    try:
        recipe = recipes.get("sprites", **recipe_overrides(options))
        trainer = recipe.trainer(engine=ig.Engine(options.device))
    except ValueError as error:
        sys.exit(f"sprites.py: {error}")

    data = Sprites()
    pictures = SampleGrid(options.out / "progress", every=500)
    try:
        monitor = fit_recipe(recipe, trainer, data, options.out, callbacks=[pictures])
    except (ig.CheckpointError, OSError) as error:
        sys.exit(f"sprites.py: {error}")

    if not trainer.distributed.is_main:
        return  # one of several processes scores and draws
    recipes.save_run(options.out, recipe, trainer.model)
    draw_pictures(trainer, data, options.out)
    scores = print_scores(trainer.model, data, options.samples)
    result = {
        **run_facts(recipe, trainer, monitor),
        "scores": scores,
        "nll": trainer.history["nll/code"][-100:].mean(),
    }
    write_whole(options.out / "result.json", (json.dumps(result) + "\n").encode())
    minutes = result["minutes"]
    print(f"{trainer.steps} steps in {minutes:.1f} minutes; pictures, metrics and the model are in {options.out}/")


def measure(model: ig.InfoGAN, data: Sprites, samples: int) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Scores of the codes' posterior means, 0 to 1, and the fraction of each factor's entropy that each code has.

    Args:
        model: A model whose latent has continuous variables named "code".
        data: The sprites.
        samples: Number of images; FactorVAE and BetaVAE take a twentieth as many votes.
    """

    def encode(images: Tensor) -> Tensor:
        return model.encode(images)["code"].mean

    grid = FactorGrid(data.sizes, lambda factors: data.images(torch.from_numpy(factors)))
    factors = grid.sample(samples)
    codes = encode(grid.images(factors))
    votes = max(len(data.sizes), samples // 20)
    scores = {
        "FactorVAE": factor_vae_score(encode, grid, num_votes=votes, num_samples=samples),
        "BetaVAE": beta_vae_score(encode, grid, num_points=votes),
        **asdict(disentanglement(codes, factors)),
    }
    return scores, mutual_information(codes, factors) / np.log(data.sizes)


def print_scores(model: ig.InfoGAN, data: Sprites, samples: int) -> dict[str, float]:
    """Print and return the scores of a model."""
    scores, fractions = measure(model, data, samples)
    print(f"\nscores of the codes' posterior means on {samples} images, 0 to 1")
    for name, score in scores.items():
        print(f"{name:>16}  {score:.3f}")
    print("\nmutual information of code and factor, as a fraction of the factor's entropy")
    print("code  " + "".join(f"{name:>13}" for name in data.names))
    for code, row in enumerate(fractions):
        print(f"{code:>4}  " + "".join(f"{fraction:>13.1%}" for fraction in row))
    print()
    return scores


def draw_pictures(trainer: ig.InfoGANTrainer, data: Sprites, out: Path) -> None:
    """Draw sprites of the data, a traversal of each code, and the curves of the run."""
    model = trainer.model
    sprites = data.images(data.factors_of(len(data) * torch.arange(100) // 100))
    figures = {
        "sprites": plot_grid(sprites, 10, pixel_range=(0, 255), title="Sprites"),
        "curves": plot_history(trainer.history),
    }
    figures |= {f"code_{dim}": plot_traversal(model, "code", dim=dim) for dim in range(model.latent["code"].width)}
    for name, figure in figures.items():
        save_figure(figure, out / f"{name}.png")


if __name__ == "__main__":
    main()
