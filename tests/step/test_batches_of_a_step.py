"""How a step divides and joins batches: micro-batches, and real images beside generated ones."""

import copy

import pytest
import torch
from torch import nn

from infogan_lib.regularizers import ModeSeeking, RealImageInformation, RealImageRegularizer
from toys import (
    LATENT,
    TupleDiscriminator,
    dense_discriminator,
    dense_generator,
    images,
    make_trainer,
)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(
    "parts",
    [
        {"discriminator": dense_discriminator},
        {"discriminator": TupleDiscriminator},
        {"discriminator": dense_discriminator, "q_network": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 8))},
    ],
    ids=["shared", "tuple", "separate"],
)
def test_joint_batches_train_every_form_of_q(parts, accumulate, precision):
    built = {name: make() for name, make in parts.items()}
    trainer = make_trainer(
        generator=dense_generator(),
        latent=LATENT,
        **built,
        joint_batches=True,
        accumulation_steps=accumulate,
        g_steps=2,
        precision=precision,
        regularizers=[RealImageInformation("digit", augment=lambda x, g: x.flip(-1))],
        device="cpu",
    )
    trainer.fit(images(39), steps=4, batch_size=16)
    assert torch.isfinite(torch.tensor(trainer.history["loss/g"])).all()
    q = built.get("q_network") or built["discriminator"]
    assert all(torch.isfinite(p).all() for p in q.parameters())


def test_accumulated_parts_add_up_to_the_batch():
    """Without BatchNorm the split is invisible: the same weights after the steps, to rounding."""
    torch.manual_seed(1)
    generator = nn.Sequential(nn.Linear(11, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh()).double()
    discriminator = nn.Sequential(nn.Linear(16, 12), nn.LeakyReLU(0.2), nn.Linear(12, 1)).double()
    head = nn.Linear(12, 8).double()
    data, states = images(20, (16,), dtype=torch.float64), []
    for parts in (1, 3):
        trainer = make_trainer(
            copy.deepcopy(generator),
            copy.deepcopy(discriminator),
            LATENT,
            q_head=copy.deepcopy(head),
            accumulation_steps=parts,
        )
        for _ in range(3):
            metrics = trainer.step(data)
        states.append(trainer.model.state_dict() | {k: torch.tensor(v) for k, v in metrics.items()})
    for name in states[0]:
        torch.testing.assert_close(states[1][name], states[0][name], rtol=1e-9, atol=1e-9, msg=name)


def test_parts_of_a_batch_are_as_equal_as_can_be():
    sizes = []
    t = make_trainer(accumulation_steps=4)
    t.model.discriminator.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    t.step(images(10))
    assert sizes == [3, 3, 3, 3, 2, 2, 2, 2, 3, 3, 2, 2]  # real and fake in turn, then G's


def test_joint_batches_change_nothing_for_networks_that_see_each_image_alone():
    data, states = images(24, (16,), dtype=torch.float64), []
    torch.manual_seed(1)
    generator = nn.Sequential(nn.Linear(11, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh()).double()
    discriminator = nn.Sequential(nn.Linear(16, 12), nn.LeakyReLU(0.2), nn.Linear(12, 1)).double()
    head = nn.Linear(12, 8).double()
    for joint in (False, True):
        trainer = make_trainer(
            *(copy.deepcopy(generator), copy.deepcopy(discriminator), LATENT),
            q_head=copy.deepcopy(head),
            joint_batches=joint,
            accumulation_steps=2,
            g_steps=2,
            regularizers=[RealImageInformation("digit", augment=lambda x, g: x + 0.1), ModeSeeking(after=0)],
        )
        for _ in range(3):
            metrics = trainer.step(data)
        states.append(trainer.model.state_dict() | {k: torch.tensor(v) for k, v in metrics.items()})
    for name in states[0]:
        torch.testing.assert_close(states[1][name], states[0][name], rtol=1e-9, atol=1e-9, msg=name)


class Saved:
    """A tensor that a graph keeps, counted while it is alive."""

    bytes = peak = 0

    def __init__(self, tensor):
        self.tensor = tensor.detach()  # with its graph it would keep itself alive
        Saved.bytes += tensor.nbytes
        Saved.peak = max(Saved.peak, Saved.bytes)

    def __del__(self):
        Saved.bytes -= self.tensor.nbytes


@pytest.mark.parametrize("joint", [False, True])
def test_accumulation_saves_memory_beside_a_regularizer_of_a_separate_q(joint):
    peaks = []
    for parts in (1, 8):
        torch.manual_seed(0)
        trainer = make_trainer(
            *(dense_generator(), dense_discriminator(), LATENT),
            q_network=nn.Sequential(nn.Flatten(), nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.Linear(64, 8)),
            joint_batches=joint,
            accumulation_steps=parts,
            regularizers=[RealImageInformation("digit", augment=lambda x, g: x.flip(-1))],
        )
        trainer.step(images(512))
        Saved.bytes = Saved.peak = 0
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
            trainer.step(images(512))
        peaks.append(Saved.peak)
    assert peaks[1] < 0.3 * peaks[0]


@pytest.mark.parametrize("joint", [False, True])
def test_a_term_that_depends_on_no_weight_changes_nothing(joint):
    class Constant(RealImageRegularizer):
        name, weight = "constant", 1.0

        def __call__(self, latent, real, q_outputs, q, rng):
            q(real)
            return q_outputs.new_ones(())

    states = []
    for regularizers in ([], [Constant()]):
        torch.manual_seed(0)
        # Without BatchNorm, whose running statistics take in the views.
        trainer = make_trainer(
            *(dense_generator(), dense_discriminator(norm=False), LATENT),
            q_head=nn.Linear(16, 8),
            joint_batches=joint,
            regularizers=regularizers,
        )
        trainer.step(images(8))
        states.append(trainer.model.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_in_joint_batches_everything_that_d_and_q_see_is_beside_the_other_kind():
    seen = []
    discriminator = dense_discriminator()
    trainer = make_trainer(
        dense_generator(),
        discriminator,
        LATENT,
        joint_batches=True,
        information_trains=["q_head", "trunk"],  # so that Q is asked apart from D in the update of G
        regularizers=[RealImageInformation("digit", augment=lambda x, g: x + 5, views=1)],
    )
    discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    real = images(8) + 2  # 1 to 3, where generated images lie from -1 to 1
    with pytest.warns(UserWarning, match=r"data lies in \[1, 2.99\]"):
        trainer.step(real)
    kinds = [["view" if x.min() > 5 else "real" if x.min() >= 1 else "fake" for x in batch] for batch in seen]
    assert kinds == [
        ["real"] * 8 + ["fake"] * 8,
        ["view"] * 8 + ["fake"] * 8,
        ["fake"] * 8 + ["real"] * 8,
        ["fake"] * 8 + ["real"] * 8,
    ]


def test_images_made_in_inference_mode_are_trained_on():
    with torch.inference_mode():
        batch = images(8)
    assert make_trainer().step(batch) == make_trainer().step(images(8))
