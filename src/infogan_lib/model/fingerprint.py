"""Fingerprints of networks: what they compute from fixed inputs, to tell networks of equal shapes apart.

A weight fits any network that has a weight of that name and shape: one with GELU for ReLU loads without an error, and
computes something else. So a few numbers that the networks compute are kept with their weights, and compared when these
are loaded. Nothing else is touched: inputs come from a generator of their own, and the networks' modes and buffers and
the global random generators are restored.
"""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from infogan_lib._checks import join_names
from infogan_lib._schema import Float, Kind, ListOf, MapOf, Nullable, Record, Text
from infogan_lib._warnings import warn
from infogan_lib.data.rng import preserve_rng, seed_all
from infogan_lib.networks.introspection import device_and_dtype, eager, eval_mode, restored_buffers

if TYPE_CHECKING:
    from infogan_lib.model.infogan import InfoGAN

Fingerprint = dict[str, Any]
"""The dtype and device of the numbers, and the numbers by the name of the network that computes them."""

FINGERPRINT: Kind = Nullable(Record({"computed_in": Text(), "outputs": MapOf(ListOf(Float(), longest=1000))}))
"""What a file holds as a fingerprint; None where there is none."""

_BATCH, _AUGMENTED, _KEPT = 3, 16, 24

_TOLERANCE = {True: (1e-2, 1e-4), False: (5e-2, 5e-3)}
"""Shares of the spread and of the size of the numbers: in full precision on CPUs, and otherwise (kernels, TF32)."""

Function = Callable[[], Tensor]


def model_fingerprint(
    model: "InfoGAN", augmentations: Mapping[str, Any] | None = None, *, runs: int = 1
) -> Fingerprint:
    """The fingerprint of G, D, Q and augmentations, in eval mode. What cannot be run so is left out.

    Each is run `runs` times, with other seeds: what then gives other numbers draws at random, and is left out as well.
    """
    device, dtype = device_and_dtype(model.generator)
    rng = torch.Generator().manual_seed(0)
    many = torch.rand(_AUGMENTED, *model.image_shape, generator=rng, dtype=torch.float64, device="cpu") * 2 - 1
    many = many.to(*device_and_dtype(model.discriminator))
    images = many[: max(_BATCH, model.dry_run_batch_size)]  # a D that takes groups of images is not run on others

    def generate() -> Tensor:
        return model.generate(model.latent.sample(_BATCH, rng=rng.manual_seed(0)).to(device, dtype))

    def discriminate() -> Tensor:
        return model.discriminate(images, codes=False).logits

    def infer() -> Tensor:
        return model.forward_q(images)

    def augment(function: Any) -> Function:
        return lambda: copy.deepcopy(function)(many.clone(), torch.Generator(device).manual_seed(0))

    functions = {"generator": generate, "discriminator": discriminate, "Q": infer}
    functions |= {name: augment(f) for name, f in (augmentations or {}).items() if f is not None}
    return fingerprint(functions, model, device, runs)


def fingerprint(functions: Mapping[str, Function], model: nn.Module, device: torch.device, runs: int) -> Fingerprint:
    """The numbers that functions compute in so many runs; the modes and buffers of the model are restored."""
    outputs = {}
    with torch.no_grad(), preserve_rng(device), eval_mode(model), restored_buffers(model), eager():
        for name, function in functions.items():
            try:
                first, *others = [_summary(function, seed, device) for seed in range(runs)]
            except Exception:  # a fingerprint is worth less than the save or the load that asks for it
                continue
            if first is not None and not any(o is None or _differ(first, o, is_exact=True) for o in others):
                outputs[name] = first
    dtype = str(device_and_dtype(model)[1]).removeprefix("torch.")
    return {"computed_in": f"{dtype} on {device.type}", "outputs": outputs}


def warn_if_changed(path: Path, saved: Fingerprint | None, own: Fingerprint) -> None:
    """Warn of networks that compute something other than those that were saved, if their fingerprint was."""
    if saved is None:
        return
    is_exact = saved["computed_in"] == own["computed_in"] in ("float32 on cpu", "float64 on cpu")
    before, now = saved["outputs"], own["outputs"]
    changed = [name for name in before if name in now and _differ(before[name], now[name], is_exact=is_exact)]
    if changed:
        it, does = ("it", "does") if len(changed) == 1 else ("they", "do")
        warn(
            f"{path}: {join_names(changed)} {does} not compute what {it} computed when this was saved, from the same "
            "inputs and weights. All shapes fit, so it is loaded; if that is not meant, give the layers, activations "
            "and settings of then"
        )


def _differ(a: list[float], b: list[float], *, is_exact: bool) -> bool:
    """Whether the largest difference is more than rounding makes of it."""
    if len(a) != len(b):
        return True
    first, second = torch.tensor([a, b], dtype=torch.float64)
    of_spread, of_size = _TOLERANCE[is_exact]
    tolerance = of_spread * first.std(correction=0) + of_size * first.abs().max()
    return bool(((first - second).abs() > tolerance).any())


def _summary(function: Function, seed: int, device: torch.device) -> list[float] | None:
    """Some of the numbers of an output, spread evenly; None if one of them is not finite."""
    seed_all(seed, device)
    numbers = function().detach().flatten()
    places = torch.linspace(0, len(numbers) - 1, min(_KEPT, len(numbers)), device=numbers.device).round().long()
    kept = numbers[places].cpu().double()
    return kept.tolist() if len(kept) and bool(kept.isfinite().all()) else None
