"""What is learned on a device: time to an accuracy, the labs at full size, seeds, sprites. All of them resume."""

import importlib.util
import json
import os
import signal
from typing import Any

import torch
from torch import Tensor

from infogan_lib import InfoGAN, recipes
from infogan_lib.callbacks import Callback
from mnist_files import BUNDLED, load_mnist
from on_device.sizes import Sizes, UnfinishedError, execute

_EXTRAS = {"mnist.py": ("matplotlib", "PIL", "scipy", "sklearn"), "sprites.py": ("matplotlib", "PIL", "sklearn")}


def accuracy(model: InfoGAN, images: Tensor, labels: Tensor) -> float:
    """Accuracy of the categories on test images: under the best matching, or, without scipy, by majority."""
    if importlib.util.find_spec("scipy") is not None:
        return model.name_categories(images, labels).accuracy
    posterior = model.encode(images)["digit"]
    assert isinstance(posterior, torch.distributions.OneHotCategorical)
    found = posterior.probs.argmax(1).cpu()
    counts = torch.zeros(int(found.max()) + 1, 10).index_put_((found, labels), torch.ones(()), accumulate=True)
    return (counts.max(1).values.sum() / len(labels)).item()


class _StopsInTime(Callback):
    """Ends a fit, saved, when the call's time is over."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes

    def needs_model(self, step: int) -> bool:
        return False

    def on_step_end(self, trainer: Any, metrics: Any) -> None:
        if trainer.steps % 20 == 0 and self._sizes.seconds_left < 5:
            os.kill(os.getpid(), signal.SIGTERM)  # fit saves and exits


def time_to(sizes: Sizes, name: str, seed: int) -> dict[str, Any]:
    """Seconds of training until 95% and 98% of the test images are in the category of their digit."""
    recipe, data = recipes.get(name, width=sizes.of(1.0, 0.05), seed=seed), load_mnist(BUNDLED)
    trainer, images = sizes.trainer(recipe), recipe.images(data["train"][0][: sizes.of(None, 256)])
    test, labels = recipe.images(data["test"][0][: sizes.of(None, 256)]), data["test"][1][: sizes.of(None, 256)].long()
    batch, every, most = sizes.of((recipe.batch_size, 50, recipe.steps or 5000), (32, 2, 4))
    reached: dict[str, float] = {}
    curve = []
    while trainer.steps < most and "98%" not in reached:
        sizes.check_time()
        trainer.fit(images, steps=every, batch_size=batch)
        spent = (batch / trainer.history["images_per_second"]).sum()
        share = accuracy(trainer.model, test, labels)
        curve.append((trainer.steps, round(spent, 2), round(share, 4)))
        for level, goal in (("95%", 0.95), ("98%", 0.98)):
            if share >= goal:
                reached.setdefault(level, spent)
    return {"seconds to": reached, "best": max(share for *_, share in curve), "curve": curve}


def run(sizes: Sizes, name: str, *, all_digits: bool = False, seed: int = 0) -> dict[str, Any]:
    """A recipe for its document's length, by the example that draws its pictures, and the quality of its samples."""
    script = "sprites.py" if name == "sprites" else "mnist.py"
    folder = sizes.out / "runs" / f"{name}{'-all-digits' if all_digits else ''}-{seed}"
    missing = [extra for extra in _EXTRAS[script] if importlib.util.find_spec(extra) is None]
    if missing:
        return (
            {"skipped": f"{', '.join(missing)} not installed"}
            if name == "sprites"
            else _bare_run(sizes, name, all_digits, seed, folder)
        )
    command = [f"examples/{script}", "--device", str(sizes.device), "--seed", str(seed), "--out", str(folder)]
    command += sizes.of([], ["--width", "0.05", "--steps", "3"]) + ["--recipe", name] * (name != "sprites")
    execute(sizes, command + ["--all-digits"] * all_digits + sizes.of([], ["--samples", "100"]) * (name == "sprites"))
    if name != "sprites" and not sizes.is_rehearsal:
        execute(sizes, ["examples/mnist_quality.py", str(folder)])
    files = [folder / "result.json", folder / "quality.json"]
    return {file.stem: json.loads(file.read_text()) for file in files if file.exists()}


def _bare_run(sizes: Sizes, name: str, all_digits: bool, seed: int, folder: Any) -> dict[str, Any]:
    """The same training without pictures, where matplotlib or scipy are not installed."""
    overrides = recipes.all_digits(name) if all_digits else {}
    recipe = recipes.get(name, width=sizes.of(1.0, 0.05), seed=seed, **sizes.of({}, {"steps": 3}), **overrides)
    data = load_mnist(BUNDLED)
    recipe = recipe.for_images(len(data["train"][0]))
    trainer, images = sizes.trainer(recipe), recipe.images(data["train"][0])
    try:
        trainer.fit(
            images,
            epochs=recipe.epochs,
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            callbacks=[*recipe.callbacks(images), _StopsInTime(sizes)],
            checkpoints=folder,
        )
    except SystemExit:
        raise UnfinishedError from None
    recipes.save_run(folder, recipe, trainer.model)
    test, labels = recipe.images(data["test"][0]), data["test"][1].long()
    minutes = (recipe.batch_size / trainer.history["images_per_second"]).sum() / 60
    bounds = {key: trainer.history[key][-100:].mean() for key in trainer.history if key.startswith("bound/")}
    found = {"recipe": name, "steps": trainer.steps, "minutes": minutes, **bounds}
    return {"result": found | {"accuracy": accuracy(trainer.model, test, labels), "matching": "majority"}}
