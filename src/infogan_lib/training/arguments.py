"""Arguments of `InfoGANTrainer` and of its `fit` that are often mistaken: errors that name the right ones."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any, NoReturn

from infogan_lib import losses
from infogan_lib._checks import check_instance, describe, join_names, shorten
from infogan_lib._keywords import refuse_unknown
from infogan_lib.losses import AdversarialLoss, NonSaturating, PairedAdversarialLoss
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.step.engine import Engine
from infogan_lib.step.optimizers import Optimizers

_OPTIMIZERS = "rates and optimizers are in optimizers=Optimizers(g=1e-3, d=5e-4)"
_ENGINE = "it is in engine=Engine({}=...)"
_MODEL = "it is an argument of InfoGAN, which a trainer takes in place of generator, discriminator and latent"
_FIT = "it is an argument of fit"

_OF_TRAINER = {
    **dict.fromkeys(("lr", "learning_rate", "lr_g", "lr_d", "lr_q", "optimizer", "weight_decay"), _OPTIMIZERS),
    **dict.fromkeys(("g_optimizer", "d_optimizer", "q_optimizer", "scheduler"), _OPTIMIZERS),
    **dict.fromkeys((field.name for field in fields(Optimizers)), _OPTIMIZERS),
    **{field.name: _ENGINE.format(field.name) for field in fields(Engine)},
    **dict.fromkeys(signature(InfoGAN).parameters, _MODEL),
    **dict.fromkeys(("n_epochs", "num_epochs"), "epochs= is an argument of fit"),
    **dict.fromkeys(("n_critic", "critic_steps", "critic_iters", "disc_steps"), "did you mean d_steps=?"),
    **dict.fromkeys(("ema", "ema_rate", "ema_beta"), "did you mean ema_decay=?"),
    **dict.fromkeys(
        ("gradient_penalty", "gp_weight", "lambda_gp", "gp"),
        "it is a term of the loss: regularizers=[GradientPenalty()] of infogan_lib.regularizers",
    ),
    **dict.fromkeys(("loss", "criterion", "gan_loss"), "the loss between G and D is adversarial=, such as Hinge()"),
}
_OF_FIT = {
    **dict.fromkeys(("lr", "learning_rate"), f"{_OPTIMIZERS} of InfoGANTrainer"),
    **dict.fromkeys(("device", "precision"), "it is in engine=Engine(...) of InfoGANTrainer"),
    **dict.fromkeys(
        ("resume", "run_dir", "checkpoint_dir", "save_dir", "checkpoint"),
        'a run is saved and resumed by checkpoints="runs/a", or Checkpoints(folder, resume=...)',
    ),
    "shuffle": "a Tensor or Dataset is shuffled in every epoch, and a DataLoader as it was made",
    "verbose": "did you mean callbacks=[ProgressBar()]?",
}
_LOSS_NAMES = {
    "bce": "NonSaturating",
    "gan": "NonSaturating",
    "lsgan": "LeastSquares",
    "vanilla": "NonSaturating",
    "wgan": "Wasserstein",
    "wgangp": "Wasserstein",
}


def refuse_unknown_of_trainer(trainer: type, fit: Callable[..., object], given: Iterable[str]) -> None:
    """Refuse keyword arguments that the trainer does not have. Raises TypeError, which says where the first belongs."""
    if given:
        advice = dict.fromkeys(signature(fit).parameters, _FIT) | _OF_TRAINER
        refuse_unknown("InfoGANTrainer", given, _named(trainer), advice)


def refuse_unknown_of_fit(fit: Callable[..., object], given: Iterable[str]) -> None:
    """Refuse keyword arguments that `fit` does not have; likewise."""
    if given:
        refuse_unknown("fit", given, _named(fit), _OF_FIT)


def _named(function: Callable[..., object]) -> list[str]:
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return [name for name, parameter in signature(function).parameters.items() if parameter.kind not in variadic]


def refuse_positional(values: tuple[object, ...]) -> NoReturn:
    """Refuse what `fit` got by position beside the data. Raises TypeError."""
    number = values[0] if isinstance(values[0], int) else 20
    labels = "" if isinstance(values[0], int) else "; for the labels of a Label code data is (images, labels)"
    raise TypeError(
        f"fit takes only the data by position, but got {describe(values[0])} beside it; write "
        f"fit(data, epochs={number}) or fit(data, steps={number}){labels}"
    )


def check_adversarial(value: Any) -> AdversarialLoss | PairedAdversarialLoss:
    """The adversarial loss, `NonSaturating()` for None. Raises TypeError, with the loss that a name may mean."""
    if isinstance(value, str):
        names = [name for name in losses.__all__ if _is_adversarial(getattr(losses, name))]
        wanted = value.lower().replace("_", "").replace("-", "").replace(" ", "").removesuffix("loss")
        close = get_close_matches(wanted, [name.lower() for name in names], n=1)
        meant = _LOSS_NAMES.get(wanted) or next((name for name in names if close and name.lower() == close[0]), None)
        hint = f"did you mean {meant}()?" if meant else f"there are {join_names(names)}"
        raise TypeError(
            f"adversarial must be of type AdversarialLoss or PairedAdversarialLoss, but got {describe(value)}; {hint}"
        )
    return check_instance("adversarial", value, AdversarialLoss, PairedAdversarialLoss) or NonSaturating()


def check_optimizers(value: Any) -> Optimizers:
    """The optimizers' settings, `Optimizers()` for None. Raises TypeError for anything else, such as a rate."""
    if value is None or isinstance(value, Optimizers) or value is Optimizers:
        return check_instance("optimizers", value, Optimizers) or Optimizers()
    given = shorten(value) if isinstance(value, (int, float)) else "..."
    raise TypeError(
        f"optimizers must be of type Optimizers, but got {describe(value)}; write Optimizers(g={given}, d={given}), "
        "each a rate, an optimizer, or a function of a list of parameters that makes one"
    )


def check_engine(value: Any) -> Engine:
    """The engine's settings, `Engine()` for None. Raises TypeError for anything else, such as the name of a device."""
    if value is None or isinstance(value, Engine) or value is Engine:
        return check_instance("engine", value, Engine) or Engine()
    raise TypeError(
        f"engine must be of type Engine, but got {describe(value)}; write Engine(...), such as "
        'Engine("cpu", precision="bf16")'
    )


def _is_adversarial(thing: object) -> bool:
    kinds = (AdversarialLoss, PairedAdversarialLoss)
    return isinstance(thing, type) and issubclass(thing, kinds) and thing not in kinds
