"""A trained model in use: latents with given codes, their images, and what Q reads from images.

All networks run in eval mode, in batches, on the device they are on.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from infogan_lib._checks import check_int, check_rng, check_rows, check_seed, check_tensor, check_type
from infogan_lib.data.pixels import as_float, check_finite_images, check_real_images
from infogan_lib.distributed import Processes
from infogan_lib.latent.category_names import code_values
from infogan_lib.networks.introspection import device_and_dtype, eval_mode

if TYPE_CHECKING:
    from infogan_lib.model.infogan import InfoGAN
    from infogan_lib.model.pretrained import PretrainedGenerator

_BLOCK = 64


def draw_latents(
    model: "InfoGAN | PretrainedGenerator",
    n: int,
    seed: int | None,
    rng: torch.Generator | None,
    codes: Mapping[str, Any] | None,
    named: Mapping[str, Any],
) -> Tensor:
    """Latents (n, L) on the CPU with given values of codes; see `InfoGAN.sample`."""
    check_rng("rng", rng)
    values = code_values(model.latent, model.category_names, codes, named)
    if seed is not None:
        if rng is not None:
            raise ValueError("give either seed or rng, not both")
        latent = _seeded_latents(model, check_rows("n", n, model.latent.width), check_seed(seed))
    else:
        latent = model.latent.sample(n, rng=rng, device="cpu")
    return model.latent.replace_values(latent, values)


def _seeded_latents(model: "InfoGAN | PretrainedGenerator", n: int, seed: int) -> Tensor:
    """Latents (n, L) of which the first do not depend on n, as they are drawn in blocks of one size."""
    rng = torch.Generator().manual_seed(seed)
    blocks = [model.latent.sample(_BLOCK, rng=rng, device="cpu") for _ in range(-(-n // _BLOCK))]
    return torch.cat(blocks)[:n]


@torch.no_grad()
def decode(model: "InfoGAN | PretrainedGenerator", latent: Tensor, batch_size: int) -> Tensor:
    """Images of latents (N, L), from the averaged generator where there is one; see `InfoGAN.decode`."""
    latent = check_tensor("latent", latent, ("N", model.latent.width))
    batch_size = check_int("batch_size", batch_size, minimum=1)
    generator = model.generator if model.ema_generator is None else model.ema_generator.module
    device, dtype = device_and_dtype(generator)
    with eval_mode(generator):
        latent = latent.to(device, dtype)
        if not latent.isfinite().all():
            raise ValueError(f"latent must be finite, but some values are NaN or infinite in {dtype}")
        return torch.cat([model.run_generator(generator, batch) for batch in latent.split(batch_size)])


@torch.no_grad()
def q_outputs(model: "InfoGAN", images: Tensor, batch_size: int, distributed: Processes | None = None) -> Tensor:
    """Q's raw outputs (N, R) for images that are checked first; see `InfoGAN.q_outputs`."""
    batch_size = check_int("batch_size", batch_size, minimum=1)
    processes = Processes() if distributed is None else check_type("distributed", distributed, Processes)
    device, dtype = device_and_dtype(model.discriminator)
    with processes.together(), eval_mode(model.discriminator, model.q):
        check_real_images(images, model.image_shape, model.pixel_range, model.output_range)
        processes.check_settings("arguments", {"images": list(images.shape), "batch_size": batch_size})
        batches, outputs = images.split(batch_size), []
        for batch in batches[processes.rows(len(batches))]:
            batch = as_float(batch.to(device), model.pixel_range or (0.0, 1.0), dtype)
            check_finite_images(batch)
            outputs.append(model.forward_q(batch))
        if processes.world_size == 1:
            return torch.cat(outputs)
        given = [processes.send(outputs, rank) for rank in range(processes.world_size)]
        return torch.cat([part for parts in given for part in parts]).to(device)
