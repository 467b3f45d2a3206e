"""What is raised when training meets NaN or infinity."""

_CAUSE = (
    "Likely causes: a learning rate that is too high, weights that are already NaN or very large, "
    "data outside the range the generator makes, or a loss of your own."
)


class NonFiniteLossError(RuntimeError):
    """A loss, gradient or weight turned NaN or infinite; all is as it was before the step.

    Attributes:
        term: the loss term, in words.
        step: the number of the step, from 0.
        value: what it became.
    """

    def __init__(self, term: str, step: int, value: float) -> None:
        super().__init__(f"the {term} became {value} in step {step}; the step was not made. {_CAUSE}")
        self.term = term
        self.step = step
        self.value = value

    def __reduce__(self) -> tuple[type, tuple[str, int, float]]:
        return type(self), (self.term, self.step, self.value)
