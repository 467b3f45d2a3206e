"""Maps (N, C, H, W) with the channels last in memory, (N, H, W, C), by calls that every transform of torch knows."""

from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether maps lie with the channels last, and not in such a way that they are contiguous as well."""
    return x.ndim == 4 and not x.is_contiguous() and x.permute(0, 2, 3, 1).is_contiguous()


def channels_last(x: Tensor) -> Tensor:
    """Maps (N, C, H, W) with the channels last, so that their gradient arrives as they themselves lie."""
    if is_channels_last(x):
        return x
    keep_layout_of_gradient(x)
    return with_channels_last(x)


def with_channels_last(x: Tensor) -> Tensor:
    """Maps (N, C, H, W) with the channels last; a single channel is not copied."""
    n, c, h, w = x.shape
    last = x.reshape(n, h, w, 1) if c == 1 else x.permute(0, 2, 3, 1).contiguous()  # else torch would not see it
    return last.permute(0, 3, 1, 2)


def keep_layout_of_gradient(x: Tensor) -> None:
    """Give the gradient of an activation the activation's layout: kernels are several times slower on a mixture."""
    if x.grad_fn is None:
        return
    arranged = with_channels_last if is_channels_last(x) else Tensor.contiguous

    def keep(gradient: Tensor | None) -> Tensor | None:
        # One of several outputs of a function, such as a chunk, may be without a gradient.
        return None if gradient is None else arranged(gradient)

    x.register_hook(keep)
