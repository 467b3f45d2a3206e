"""InfoGAN on sprites: five continuous codes, found without labels, against the five factors that made the images.

Run it without arguments for the whole run of the paper, which takes a GPU; on a CPU give --steps and --width. It leaves
pictures of every code's traversal, metrics, the model and a table of disentanglement scores in the output folder.
Stopped at any moment (Ctrl-C, kill, power), the same command goes on from the last checkpoint in that folder.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import infogan_lib as ig
from infogan_lib import recipes
from infogan_lib.evaluation import CollapseMonitor
from infogan_lib.metrics.disentanglement import disentanglement
from infogan_lib.metrics.information_scores import mutual_information
from infogan_lib.metrics.intervention_scores import FactorGrid, beta_vae_score, factor_vae_score
from infogan_lib.training.callbacks import JSONLLogger, ProgressBar
from infogan_lib.viz import SampleGrid, plot_grid, plot_history, plot_traversal, save_figure
from mnist import Lines, positive, print_symptom
from sprites_data import Sprites


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0, help="factor on the networks' channels (default: 1)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive, help="passes over the 737,280 images (default: the recipe's 28)")
    length.add_argument("--steps", type=positive, help="updates of the discriminator (default: the recipe's)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, latents and data order (default: 0)")
    parser.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', 'cuda:1', ... (default: auto)")
    parser.add_argument(
        "--samples",
        type=positive,
        default=10_000,
        help="images behind the scores, and twenty times as many as votes of FactorVAE and BetaVAE (default: 10,000)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/sprites"),
        help="folder of the run; one that holds a run goes on with it (default: runs/sprites)",
    )
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    try:
        recipe = recipes.get("sprites", width=options.width, seed=options.seed)
        trainer = recipe.trainer(engine=ig.Engine(options.device))
    except ValueError as error:
        sys.exit(f"sprites.py: {error}")
    print(f"recipe 'sprites' on {trainer.device}, seed {options.seed}, output in {options.out}/")

    if options.epochs is not None or options.steps is not None:
        recipe.epochs, recipe.steps = options.epochs, options.steps
    data = Sprites()
    progress = ProgressBar() if sys.stderr.isatty() else Lines(every=100)
    metrics, pictures = JSONLLogger(options.out / "metrics.jsonl"), SampleGrid(options.out / "progress", every=500)
    monitor = CollapseMonitor(on_symptom=print_symptom)
    try:
        trainer.fit(
            data,
            epochs=recipe.epochs,
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            callbacks=[progress, metrics, pictures, monitor],
            checkpoints=options.out,
        )
    except (ig.CheckpointError, OSError) as error:
        sys.exit(f"sprites.py: {error}")

    trainer.model.save(options.out / "model")
    draw_pictures(trainer, data, options.out)
    scores = print_scores(trainer.model, data, options.samples)
    minutes = recipe.batch_size * (1 / trainer.history["images_per_second"]).sum() / 60
    result = {
        "recipe": "sprites",
        "width": options.width,
        "seed": options.seed,
        "device": str(trainer.device),
        "steps": trainer.steps,
    }
    result |= {"batch_size": recipe.batch_size, "minutes": round(minutes, 2)}
    result |= {"images_per_second": round(trainer.steps * recipe.batch_size / minutes / 60, 1), "scores": scores}
    result |= {"nll": trainer.history["nll/code"][-100:].mean()}
    result |= {"symptoms": [str(symptom) for symptom in monitor.symptoms]}
    (options.out / "result.json").write_text(json.dumps(result) + "\n")
    print(f"{trainer.steps} steps in {minutes:.1f} minutes; pictures, metrics and the model are in {options.out}/")


def print_scores(model: ig.InfoGAN, data: Sprites, samples: int) -> dict[str, float]:
    """The scores of disentanglement, 0 to 1, and what share of each factor's entropy each code tells."""

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
    print(f"\nscores of the codes' posterior means on {samples} images, 0 to 1")
    for name, score in scores.items():
        print(f"{name:>16}  {score:.3f}")
    shares = mutual_information(codes, factors) / np.log(data.sizes)
    print("\nshare of a factor's entropy that a code tells")
    print("code  " + "".join(f"{name:>13}" for name in data.names))
    for code, row in enumerate(shares):
        print(f"{code:>4}  " + "".join(f"{share:>13.1%}" for share in row))
    print()
    return scores


def draw_pictures(trainer: ig.InfoGANTrainer, data: Sprites, out: Path) -> None:
    """Sprites of the data, each code moving from end to end, and the curves of the run."""
    model = trainer.model
    shown = data.images(data.factors_of(len(data) * torch.arange(100) // 100))
    figures = {
        "sprites": plot_grid(shown, 10, pixel_range=(0, 255), title="Sprites"),
        "curves": plot_history(trainer.history),
    }
    figures |= {f"code_{dim}": plot_traversal(model, "code", dim=dim) for dim in range(model.latent["code"].width)}
    for name, figure in figures.items():
        save_figure(figure, out / f"{name}.png")


if __name__ == "__main__":
    main()
