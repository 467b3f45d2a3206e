"""Controls: the latents that their values make, and values from a posterior."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from explorer_toys import ALL, VALUES, toy
from infogan_lib.explorer.controls import Bits, Choice, ControlError, PathControl, Sliders, make_controls
from infogan_lib.explorer.views import MAX_IMAGES, Explorer
from toys import LATENT


@pytest.fixture(scope="module")
def explorer():
    return Explorer(toy(ALL))


def test_every_code_has_a_control_of_its_kind():
    controls = make_controls(ALL)
    assert {name: type(control) for name, control in controls.items()} == {
        "digit": Choice,
        "style": Sliders,
        "tilt": Sliders,
        "bits": Bits,
        "hand": PathControl,
    }
    assert (controls["style"].low, controls["style"].high) == (-1, 3)
    assert (controls["tilt"].low, controls["tilt"].high) == (-2, 2)
    assert controls["bits"].axes == ["bits[0]", "bits[1]", "bits[2]"]
    assert controls["tilt"].axes == ["tilt"]


def test_categories_have_their_names_and_are_sorted():
    control = make_controls(LATENT, {"digit": ("7", None, "10", "2")})["digit"]
    assert control.labels == ["7", "(1)", "10", "2"]
    assert [control.labels[i] for i in control.order] == ["2", "7", "10", "(1)"]
    assert [point.label for point in control.points(control.row(0), 0, 5)] == ["2", "7", "10", "(1)"]
    assert control.default == 3


def test_latents_have_the_values_of_the_controls(explorer):
    latents = explorer.latents(VALUES, count=6, seed=3)
    parts = ALL.split(latents)
    assert latents.shape == (6, ALL.width)
    assert torch.equal(parts["digit"], torch.tensor([0.0, 0, 1, 0]).expand(6, 4))
    assert torch.equal(parts["style"], torch.tensor([0.5, 3.0]).expand(6, 2))
    assert torch.equal(parts["bits"], torch.tensor([1.0, 0, 1]).expand(6, 3))
    torch.testing.assert_close(parts["hand"], torch.tensor([0.0, 1.0]).expand(6, 2), atol=1e-6, rtol=0)
    assert len(parts["z"].unique(dim=0)) == 6


def test_a_seed_gives_the_same_noise_for_every_count(explorer):
    many, few = (explorer.latents(VALUES, count=n, seed=3) for n in (64, 5))
    assert torch.equal(many[:5], few)
    one = explorer.latents(VALUES, count=5, seed=3, shared_noise=True)
    assert torch.equal(one, many[:1].expand(5, -1))
    assert not torch.equal(explorer.latents(VALUES, count=5, seed=4), few)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digit": 4}, "digit must be a number from 0 to 3, but got 4"),
        ({"digit": 1.5}, "digit must be a whole number"),
        ({"digit": None}, "digit must be a number"),
        ({"digit": True}, "digit must be a number"),
        ({"style": [0, 3.1]}, r"style\[1\] must be a number from -1 to 3"),
        ({"style": [float("nan"), 0]}, r"style\[0\] must be a number"),
        ({"style": [float("inf"), 0]}, r"style\[0\] must be a number"),
        ({"style": [0]}, "style takes 2 numbers"),
        ({"style": "ab"}, "style takes 2 numbers"),
        ({"bits": [3]}, "bits must be a number from 0 to 2"),
        ({"bits": [0] * 10**6}, "bits takes a list of the bits that are on"),
        ({"bits": 1}, "bits takes a list"),
        ({"hand": -0.1}, "hand must be a number from 0 to 1"),
        ({"count": 65}, "the number of images must be a number from 1 to 64, but got 65"),
        ({"count": 0}, "the number of images"),
        ({"count": 10**30}, "the number of images"),
        ({"seed": -1}, "the seed must be a number from 0"),
        ({"seed": 2**64}, "the seed"),
        ({"seed": "1"}, "the seed"),
    ],
)
def test_invalid_values_are_refused(explorer, change, message):
    with pytest.raises(ControlError, match=message) as raised:
        settings = {"count": 1, "seed": 0} | {k: v for k, v in change.items() if k in ("count", "seed")}
        explorer.latents(VALUES | change, **settings)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 250


def test_a_missing_control_is_named():
    with pytest.raises(ControlError, match="no value was given for digit"):
        Explorer(toy()).latents({"style": [0, 0]}, count=1, seed=0)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(st.fixed_dictionaries(dict.fromkeys(ALL.codes, anything)), anything, anything)
def test_any_value_from_a_page_is_used_or_refused(explorer, values, count, seed):
    try:
        latents = explorer.latents(values, count=count, seed=seed)
    except ControlError:
        return
    assert latents.shape[1] == ALL.width
    assert 1 <= len(latents) <= MAX_IMAGES
    assert latents.isfinite().all()


def test_predictions_beyond_a_slider_are_clipped_and_say_so():
    control = make_controls(LATENT)["style"]
    posterior = torch.distributions.Independent(torch.distributions.Normal(torch.tensor([[4.0, 0.1]]), 0.5), 1)
    prediction = control.predict(posterior)
    assert prediction.value == pytest.approx([1.0, 0.1])
    assert prediction.readouts[0].text == "+4.00 ± 0.50, beyond the slider's -1 to 1"
