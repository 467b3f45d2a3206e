"""G and Q as ONNX files: traced by torch, and compared with torch where onnxruntime is installed.

Both files take and give float32, for any number of images. G is the generator that `InfoGAN.sample` uses, the average
where there is one, and takes the flat latent, however the network itself takes it.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from typing_extensions import override

from infogan_lib._checks import require
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.networks.introspection import eager, eval_mode

TOLERANCE = 1e-5
"""The largest difference between onnxruntime and torch, relative to the largest value where that is above 1."""

_MOST_IMAGES = 2**16


class ExportError(RuntimeError):
    """A network cannot be written as ONNX, or computes something else there."""


class _Generator(nn.Module):
    """Images (N, *image_shape) of a flat latent (N, L), as `InfoGAN.decode` makes them."""

    def __init__(self, model: InfoGAN) -> None:
        super().__init__()
        self.generator = model.generator if model.ema_generator is None else model.ema_generator.module
        self._adapter, self._latent = model.generator_adapter, model.latent

    @override
    def forward(self, latent: Tensor) -> Tensor:
        return self._adapter(self.generator, latent, self._latent).contiguous()


class _Q(nn.Module):
    """Q's outputs (N, R) for images (N, *image_shape)."""

    def __init__(self, model: InfoGAN) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, images: Tensor) -> Tensor:
        return self.model.forward_q(images)


def for_export(model: InfoGAN) -> InfoGAN:
    """The model, or a copy of it on the CPU in float32 where it is elsewhere or in another precision."""
    tensors = [*model.parameters(), *model.buffers()]
    fits = all(t.device.type == "cpu" and (t.dtype == torch.float32 or not t.is_floating_point()) for t in tensors)
    return model if fits else copy.deepcopy(model).cpu().float()


def to_onnx(model: InfoGAN) -> tuple[dict[str, bytes], dict[str, float | None]]:
    """ONNX files of a model that `for_export` returned, by name, and the largest difference of each from torch.

    The difference is None where onnxruntime is not installed.

    Raises:
        ImportError: onnx or onnxscript is not installed.
        ExportError: a network that cannot be traced, draws random numbers, or differs in onnxruntime.
    """
    for package in ("onnx", "onnxscript"):
        require(package, extra="onnx", feature="an export to ONNX")
    rng = torch.Generator().manual_seed(0)
    latents = [model.latent.sample(n, rng=rng, device="cpu") for n in (model.dry_run_batch_size, 1, 5)]
    files, differences = {}, {}
    with torch.no_grad(), eager(), eval_mode(model):
        generator, q = _Generator(model), _Q(model)
        images = [generator(latent) for latent in latents]
        networks = [("generator.onnx", "the generator", generator, latents, "latent", "images")]
        networks += [("q.onnx", "Q", q, images, "images", "q_outputs")]
        for file, name, network, inputs, input_name, output_name in networks:
            network.eval()
            files[file] = _trace(name, network, inputs[0], input_name, output_name)
            differences[file] = _largest_difference(name, network, inputs, files[file])
    return files, differences


def _trace(name: str, network: nn.Module, example: Tensor, input_name: str, output_name: str) -> bytes:
    first, second = network(example), network(example)
    if not torch.equal(first, second):
        raise ExportError(
            f"{name} draws random numbers in its forward, so that no file can be checked against it: two passes in "
            f"eval mode differ by {(first - second).abs().max():.3g}; make that noise a variable of the latent, such "
            "as Noise(8)"
        )
    batch = torch.export.Dim("batch", min=1, max=_MOST_IMAGES)
    try:
        with _quiet(), sdpa_kernel(SDPBackend.MATH):
            program: Any = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=[input_name],
                output_names=[output_name],
                dynamic_shapes=({0: batch},),
            )
        proto = program.model_proto
    except Exception as error:  # whatever the tracer makes of a user's module belongs in the message
        raise ExportError(
            f"{name} cannot be written as ONNX: {_reason(error)}; its forward must be made of torch's own operations, "
            "without branches on their values"
        ) from error
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ExportError(
            f"{name} was traced for batches of {len(example)} only: its forward takes the number of images for a fixed "
            "one, as in a loop over them; write it for the whole batch at once"
        )
    return proto.SerializeToString()


def _largest_difference(name: str, network: nn.Module, inputs: list[Tensor], file: bytes) -> float | None:
    """The largest difference between a file in onnxruntime and the network; None where that is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        results = [session.run(None, {session.get_inputs()[0].name: batch.numpy()})[0] for batch in inputs]
    except Exception as error:  # errors of onnxruntime have no common class
        raise ExportError(f"{name} does not run in onnxruntime: {_reason(error)}") from error
    largest = 0.0
    for batch, result in zip(inputs, results, strict=True):
        expected, actual = network(batch), torch.as_tensor(result)
        if expected.shape != actual.shape:
            raise ExportError(
                f"{name} gives {tuple(actual.shape)} in onnxruntime, and {tuple(expected.shape)} in torch"
            )
        scale = max(1.0, expected.abs().max().item())
        largest = max(largest, (expected - actual).abs().max().item() / scale)
    if not largest <= TOLERANCE:
        raise ExportError(
            f"{name} computes something else in onnxruntime: it differs from torch by {largest:.3g}, and at most "
            f"{TOLERANCE:g} is expected; look for an operation of it that depends on the batch or on the machine"
        )
    return largest


def _reason(error: BaseException) -> str:
    """The first line of the error that was the cause of all others."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:400].rstrip(".;")


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without the tracer's warnings about its own parts and packages that are not needed."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
