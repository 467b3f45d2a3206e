"""The five scores of InfoGAN-CR on the sprites: with its contrastive term, without it, and the model that agrees best.

    python benchmarks/sprites_scores.py --seeds 0 1 2 --steps 16000 --width 0.5 --jobs 2 --out runs/sprites_scores

For each seed the recipe "sprites" is trained for most of the steps; then it goes on twice from there, once as it is and
once with the contrastive term, with optimizers that begin anew, so that the two differ in the term alone. Among the
models with the term `model_centrality` chooses one, without looking at the factors.

Every seed is a process of its own, on one thread. A stopped command goes on where it was. FactorVAE, DCI
(disentanglement), SAP, MIG and BetaVAE are those of the codes' posterior means.

Source: Lin et al., *InfoGAN-CR and ModelCentrality*, ICML 2020, section 5: weight 2, over the last tenth of the run.
"""

import argparse
import copy
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "examples"))

from infogan_lib import Checkpoints, Engine, InfoGANTrainer, recipes
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.evaluation import model_centrality
from infogan_lib.regularizers import Contrastive
from meter.processes import run_processes
from sprites import measure
from sprites_data import Sprites

SCORES = ("FactorVAE", "disentanglement", "sap", "mig", "BetaVAE")
"""The columns: those of the paper's table, DCI being its disentanglement."""
BRANCHES = ("baseline", "contrastive")


def main() -> None:
    options = parse_arguments()
    if options.only is not None:
        run_seed(options.only, options)
        return
    failed = run_processes([[*sys.argv, "--only", str(seed)] for seed in options.seeds], jobs=options.jobs)
    if failed:
        sys.exit(f"sprites_scores.py: {len(failed)} runs failed; the same command goes on with what is there")
    print_table(options)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--steps", type=int, default=16_000, help="steps of each run (default: 16,000)")
    parser.add_argument("--last", type=float, default=0.1, help="the part that the branches have (default: 0.1)")
    parser.add_argument("--width", type=float, default=0.5, help="factor on the channels (default: 0.5)")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="(default: bf16)")
    parser.add_argument("--device", default="cpu", help="(default: cpu)")
    parser.add_argument("--samples", type=int, default=10_000, help="images for the scores (default: 10,000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("runs/sprites_scores"), help="folder of the runs")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def folder_of(seed: int, options: argparse.Namespace) -> Path:
    """The folder of a seed's run, one for each set of settings."""
    settings = f"{options.steps}_steps_{options.last:g}_last_width_{options.width:g}_{options.precision}"
    return options.out / settings / f"seed_{seed}"


def scores_of(branch: str, seed: int, options: argparse.Namespace) -> Path:
    """The file of a branch's scores."""
    return folder_of(seed, options) / f"{branch}_{options.samples}_samples.json"


def run_seed(seed: int, options: argparse.Namespace) -> None:
    """Train both branches of a seed, and write their models and scores."""
    torch.set_num_threads(1)
    data, engine = Sprites(), Engine(options.device, precision=options.precision)
    recipe = recipes.get("sprites", width=options.width, seed=seed)
    folder, last = folder_of(seed, options), max(1, round(options.steps * options.last))
    waiting = [name for name in BRANCHES if not scores_of(name, seed, options).exists()]
    if not waiting:
        return

    def fit(trainer: InfoGANTrainer, steps: int, name: str) -> None:
        trainer.fit(data, steps=steps, batch_size=recipe.batch_size, checkpoints=Checkpoints(folder / name, keep=1))

    common = recipe.trainer(engine=engine)
    fit(common, options.steps - last, "common")
    for name in waiting:
        terms = [Contrastive(weight=2.0)] if name == "contrastive" else []
        settings = {"optimizers": recipe.optimizers, "engine": engine, "seed": seed, **recipe.trainer_kwargs}
        trainer = InfoGANTrainer(copy.deepcopy(common.model), regularizers=terms, **settings)
        fit(trainer, last, name)
        recipes.save_run(folder / name, recipe, trainer.model)
        scores, _ = measure(trainer.model, data, options.samples)
        write_whole(scores_of(name, seed, options), json.dumps(scores).encode())


def print_table(options: argparse.Namespace) -> None:
    """Print the scores of every run, their means, and those of the model that is most central."""
    print(f"{'':<24}" + "".join(f"{name:>16}" for name in SCORES))
    seeds = options.seeds
    for name in BRANCHES:
        rows = [json.loads(scores_of(name, seed, options).read_text()) for seed in seeds]
        for seed, row in zip(seeds, rows, strict=True):
            print_row(f"{name}, seed {seed}", row)
        print_row(f"{name}, mean", {score: statistics.mean(row[score] for row in rows) for score in SCORES})
        if name == "contrastive" and len(seeds) > 1:
            best = model_centrality([recipes.load_run(folder_of(seed, options) / name) for seed in seeds]).best
            print_row(f"most central: seed {seeds[best]}", rows[best])


def print_row(name: str, scores: Mapping[str, float]) -> None:
    """Print a row of the table."""
    print(f"{name:<24}" + "".join(f"{scores[score]:>16.3f}" for score in SCORES))


if __name__ == "__main__":
    main()
