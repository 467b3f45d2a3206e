"""Numeric precision of the forward passes: float32, or mixed with bfloat16 or float16."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from infogan_lib._checks import check_choice
from infogan_lib._schema import Array, Described, Kind, Plain, Record
from infogan_lib.step.metrics import total_norm

PrecisionName = Literal["fp32", "bf16", "fp16"]


class Precision(Described):
    """Autocasting, and loss scaling where float16 needs it. Weights and losses stay in their own precision.

    Args:
        name: "fp32" leaves everything as it is (a float64 model stays float64); "bf16" and "fp16" run the
            networks under `torch.autocast`, the latter with a `torch.amp.GradScaler`.
        device: Where the networks run.
        tf32: Whether CUDA may use TF32 in a step; None leaves torch's settings as they are.
    """

    def __init__(self, name: PrecisionName, device: torch.device, *, tf32: bool | None = None) -> None:
        check_choice("precision", name, ("fp32", "bf16", "fp16"))
        self.name = name
        self.device = device
        self.tf32 = tf32
        self._dtype = torch.float16 if name == "fp16" else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def step(self) -> AbstractContextManager[object]:
        """The context of a whole step: whether CUDA may use TF32."""
        return nullcontext() if self.tf32 is None or self.device.type != "cuda" else _tf32(self.tf32)

    def forward(self) -> AbstractContextManager[object]:
        """The context of a forward pass: autocasting, also where the caller has turned on another kind."""
        if self.name == "fp32" and not torch.is_autocast_enabled(self.device.type):
            return nullcontext()
        return torch.autocast(self.device.type, self._dtype, enabled=self.name != "fp32")

    def backward(self, loss: Tensor, parameters: list[nn.Parameter], *, retain_graph: bool = False) -> None:
        """Add the gradient of a loss to these parameters and to no others."""
        if parameters and not loss.requires_grad:
            raise ValueError(
                "a part of the loss has no gradient with respect to what it trains: an adversarial loss or a "
                "regularizer returns a value that does not depend on the networks' outputs; take its detach(), item() "
                "or no_grad() out"
            )
        if parameters:
            self.scaler.scale(loss).backward(inputs=parameters, retain_graph=retain_graph)

    def update(self, optimizers: Sequence[Optimizer], parameters: Sequence[nn.Parameter]) -> Tensor:
        """Step the optimizers, and return the norm that the gradients had. The gradients are dropped.

        An optimizer whose scaled gradients overflowed is skipped.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = total_norm(gradients) if gradients else torch.zeros((), device=self.device)
        if self._scale is not None:
            norm = norm / self._scale
        for optimizer in optimizers:
            if self.scaler.is_enabled() and not _has_gradients(optimizer):
                continue  # the scaler refuses one whose parameters are all frozen
            try:
                self.scaler.step(optimizer)
            finally:  # an interrupt leaves what the scaler lends to a fused optimizer, and the next step would use it
                for lent in ("grad_scale", "found_inf"):
                    vars(optimizer).pop(lent, None)
        clear(parameters)
        return norm

    def update_scale(self) -> None:
        """Choose the next loss scale from whether gradients overflowed since the last choice."""
        self.scaler.update()

    @property
    def _scale(self) -> Tensor | None:
        return getattr(self.scaler, "_scale", None)  # there is none until the first loss is scaled

    def scale(self) -> dict[str, Tensor]:
        """A copy of the loss scale as "scale", where there is one by now."""
        return {} if self._scale is None else {"scale": self._scale.clone()}

    def tolerates_overflow(self, scale: object) -> bool:
        """Whether a gradient may have overflowed because of its scale alone, so that a smaller scale is the answer.

        The scale is a float; None where it is the initial one.
        """
        return self.scaler.is_enabled() and (not isinstance(scale, float) or scale > 1)

    @property
    @override
    def schema(self) -> Kind:
        """The loss scale and its count where there is one; `load_state_dict` refuses both where there is none."""
        if not self.scaler.is_enabled():
            return Plain()
        floats = torch.finfo(torch.float32)
        scale, tracker = Array(torch.float32, (), floats.tiny, floats.max), Array(torch.int32, (), 0)
        fields = {"scale": scale, "growth_tracker": tracker}
        return Record(fields, optional=frozenset(fields))

    def state_dict(self) -> dict[str, Tensor]:
        """The loss scale and the number of steps since it changed; empty without one. Nothing waits for the device."""
        tracker = getattr(self.scaler, "_growth_tracker", None)
        return self.scale() if tracker is None else self.scale() | {"growth_tracker": tracker.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore both, and drop what an interrupted step left in the scaler. Raises ValueError in another one."""
        if not self.scaler.is_enabled() and (not isinstance(state, Mapping) or len(state) > 0):
            raise ValueError("it was saved in another precision")
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.scaler.is_enabled())
        if state:
            self.scaler._scale = state["scale"].clone().to(self.device)
            self.scaler._growth_tracker = state["growth_tracker"].clone().to(self.device)


def _has_gradients(optimizer: Optimizer) -> bool:
    return any(p.grad is not None for group in optimizer.param_groups for p in group["params"])


def clear(parameters: Iterable[nn.Parameter]) -> None:
    """Drop the gradients of parameters."""
    for parameter in parameters:
        parameter.grad = None


class ContextState:
    """Whether gradients are recorded, what is autocast and what TF32 is used for, to be restored after an error.

    An interrupt may come inside the end of a context, which is then not ended: autocasting would go on, and its cache
    would keep weights of before.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device.type
        self._has_grad = torch.is_grad_enabled()
        self._autocast = torch.is_autocast_enabled(self._device)
        self._dtype = torch.get_autocast_dtype(self._device)
        self._nesting = _autocast_nesting()
        self._tf32 = _tf32_settings(self._device)

    def restore(self) -> None:
        """Make everything as it was."""
        torch.set_grad_enabled(self._has_grad)
        torch.set_autocast_enabled(self._device, self._autocast)
        torch.set_autocast_dtype(self._device, self._dtype)
        if self._tf32 is not None and self._tf32 != _tf32_settings(self._device):
            _set_tf32(*self._tf32)
        while _autocast_nesting() > self._nesting:
            torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()


def _autocast_nesting() -> int:
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


@contextmanager
def _tf32(is_allowed: bool) -> Iterator[None]:
    before = _tf32_settings("cuda")
    if before is None:
        raise ValueError(
            "engine.tf32 cannot be combined with torch.backends.*.fp32_precision, which this program has set; "
            "leave one of them out"
        )
    _set_tf32("high" if is_allowed else "highest", is_allowed)
    try:
        yield
    finally:
        _set_tf32(*before)


def _tf32_settings(device: str) -> tuple[str, bool] | None:
    """Torch's settings for products and for convolutions; None on other devices than CUDA, or where they disagree."""
    if device != "cuda":
        return None
    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:  # torch refuses to say after `fp32_precision` was set
        return None


def _set_tf32(products: str, convolutions: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions
