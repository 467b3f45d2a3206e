"""plan.json: what the columns of the generator's input and of Q's outputs mean, as data.

Whoever runs `generator.onnx` and `q.onnx` needs no library: the plan says where each variable is, which values it
takes, and how Q's outputs become its posterior.
"""

from typing import Any

from infogan_lib._version import __version__
from infogan_lib.latent import Bernoulli, Categorical, LatentCode, LatentVariable, Noise
from infogan_lib.losses.information import MSE, BernoulliCrossEntropy, CrossEntropy, NormalNLL
from infogan_lib.model.infogan import InfoGAN

FORMAT = 1

_PATH_STEPS = 33


def export_plan(model: InfoGAN, differences: dict[str, float | None]) -> dict[str, Any]:
    """The plan of an exported model, as JSON data.

    `differences` has the largest difference from torch of each file, None where it was not checked.
    """
    return {
        "format": FORMAT,
        "library": __version__,
        "files": {
            name: {"input": ends[0], "output": ends[1], "largest_difference": differences[name]}
            for name, ends in {"generator.onnx": ("latent", "images"), "q.onnx": ("images", "q_outputs")}.items()
            if name in differences
        },
        "image_shape": list(model.image_shape),
        "pixel_range": model.pixel_range and list(model.pixel_range),
        "width": model.latent.width,
        "num_outputs": model.latent.num_outputs,
        "variables": [_describe_variable(model, name, variable) for name, variable in model.latent.items()],
    }


def _describe_variable(model: InfoGAN, name: str, variable: LatentVariable) -> dict[str, Any]:
    """Where a variable is, which values it takes, and how Q tells it."""
    low, high = variable.traversal_range
    described: dict[str, Any] = {
        "name": name,
        "kind": type(variable).__name__,
        "offset": model.latent.slices[name].start,
        "width": variable.width,
        "low": low,
        "high": high,
        "center": variable.center().tolist(),
    }
    if isinstance(variable, Noise):
        return described | {"values": "noise", "distribution": variable.distribution}
    if isinstance(variable, Categorical):
        names = model.category_names.get(name)
        learned = model.latent.learned_prior(name)
        prior = list(variable.prior) if learned is None else learned.tolist()
        described |= {"values": "one-hot", "categories": names and list(names), "prior": prior}
    elif isinstance(variable, Bernoulli):
        described |= {"values": "bits"}
    elif type(variable).traverse is LatentVariable.traverse:
        described |= {"values": "numbers"}
    else:  # a code of the user's whose columns do not vary one by one: the rows along its own traversal
        steps = None if isinstance(variable, LatentCode) and variable.is_discrete else _PATH_STEPS
        described |= {"values": "rows", "rows": variable.traverse(variable.center(), steps=steps).tolist()}
    if isinstance(variable, LatentCode):
        described["q"] = _describe_posterior(variable, model.latent.output_slices[name])
    return described


def _describe_posterior(code: LatentCode, columns: slice) -> dict[str, Any]:
    """The slices of Q's outputs, [start, end), and the posterior that they parametrize."""
    start, end, middle = columns.start, columns.stop, columns.start + code.width
    loss = getattr(code, "loss", None)
    described: dict[str, Any] = {"start": start, "end": end, "posterior": "unknown"}
    if isinstance(loss, CrossEntropy):
        described |= {"posterior": "categorical", "logits": [start, end]}
    elif isinstance(loss, BernoulliCrossEntropy):
        described |= {"posterior": "bernoulli", "logits": [start, end]}
    elif isinstance(loss, NormalNLL) and loss.scale is not None:
        described |= {"posterior": "normal", "mean": [start, end], "scale": loss.scale}
    elif isinstance(loss, NormalNLL):
        low, high = loss.log_scale_range
        described |= {
            "posterior": "normal",
            "mean": [start, middle],
            "raw_scale": [middle, end],
            "log_scale_middle": (low + high) / 2,
            "log_scale_half": (high - low) / 2,
            "scale": "exp(middle + half * r / (half + |r|)) of each raw scale r",
        }
    elif isinstance(loss, MSE):
        described |= {"posterior": "point", "value": [start, end]}
    return described
