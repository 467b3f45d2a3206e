"""Networks as people have them: what is found out by itself, what can be said, and what is refused."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.checkpoints.disk import CheckpointError
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


class Ends(nn.Module):
    """A D or G whose output goes through a function."""

    def __init__(self, body, function):
        super().__init__()
        self.body, self.function = body, function

    def forward(self, x):
        return self.function(self.body(x))


def model(generator=None, discriminator=None, latent=LATENT, **settings):
    torch.manual_seed(0)
    return ig.InfoGAN(generator or dense_generator(), discriminator or dense_discriminator(), latent, **settings)


def hand_sigmoid(x):
    return 1 / (1 + torch.exp(-x))


# What D returns ------------------------------------------------------------------------------------------------------


def test_a_sigmoid_in_a_compiled_discriminator_is_found():
    torch.manual_seed(0)
    plain = dense_discriminator(norm=False).append(nn.Sigmoid()).double()
    x = images(6, dtype=torch.float64)
    head = nn.Sequential(nn.Flatten(), nn.Linear(16, 8)).double()
    g = dense_generator().double()
    try:
        gan = ig.InfoGAN(g, torch.compile(plain, backend="aot_eager"), LATENT, q_network=head)
        assert gan.discriminator_adapter.output == "probabilities"
        torch.testing.assert_close(gan.discriminate(x).logits, plain[:-1](x), rtol=1e-9, atol=1e-9)
    finally:
        torch.compiler.reset()


@pytest.mark.parametrize("bias", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("norm", [False, True])
def test_logits_of_an_untrained_discriminator_are_logits_whatever_their_sign(norm, bias):
    d = dense_discriminator(norm=norm)
    nn.init.constant_(d[-1].bias, bias)
    assert model(discriminator=d).discriminator_adapter.output == "logits"
    scaled = Ends(d, lambda x: x.square() * torch.sign(x) + 0.1)
    assert model(discriminator=scaled).discriminator_adapter.output == "logits"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            hand_sigmoid,
            r"values from [\d.e-]+ to [\d.]+ only, as probabilities are.*'probabilities' or 'logits'",
        ),
        (lambda x: (x.tanh() + 1) / 2, r"as probabilities are"),
        (lambda x: torch.softmax(torch.cat([x, -x], 1), 1), "ends in a Softmax.*remove the Softmax"),
        (lambda x: nn.functional.log_softmax(torch.cat([x, -x], 1), 1), "ends in a LogSoftmax.*remove"),
        (nn.LogSigmoid(), "ends in a LogSigmoid.*remove the LogSigmoid"),
        (torch.tanh, r"outputs end at -1 and 1, as those of a Tanh do.*discriminator_output='logits'"),
        (lambda x: 2 * hand_sigmoid(x) - 1, r"outputs end at -1 and 1, as those of a Tanh do"),
        (torch.relu, r"values from 0 to [\d.e+]+ only, as"),
        (lambda x: x.clamp(0, 1), r"values from 0 to 1 only, as probabilities are"),
        (lambda x: x.clamp_min(0), r"values from 0 to [\d.e+]+ only, as"),
        (lambda x: -nn.functional.softplus(x) * torch.ones(1), r"values from -[\d.e+]+ to -?0 only, as logits are not"),
    ],
)
def test_an_output_that_may_be_no_logit_is_asked_about_or_refused(function, message):
    with pytest.raises(ValueError, match=message):
        model(discriminator=Ends(dense_discriminator(norm=False), function))


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(4),
        nn.AdaptiveMaxPool2d(1),
        lambda x: x.sum((1, 2, 3)),
        lambda x: x.flatten(1).logsumexp(1),
        lambda x: x.flatten(1).amax(1),
        lambda x: x.flatten(1).gather(1, torch.zeros(len(x), 1, dtype=torch.int64)),
    ],
)
def test_validities_of_one_sign_that_are_pooled_from_a_map_are_logits(pool):
    d = nn.Conv2d(1, 1, 3, padding=1)
    with torch.no_grad():
        d.weight.zero_()
        d.bias.fill_(3)
    head = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
    assert model(discriminator=Ends(d, pool), q_network=head).discriminator_adapter.output == "logits"


def without_gradients(function):
    return torch.no_grad()(function)


@pytest.mark.parametrize(
    "forward", [lambda d, x: d(x.detach()), lambda d, x: d(x).detach(), without_gradients(lambda d, x: d(x))]
)
def test_a_discriminator_without_gradients_is_refused(forward):
    class NoGradients(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = dense_discriminator()

        def forward(self, x):
            return forward(self.body, x)

    with pytest.raises(ValueError, match=r"no gradients with respect to the images.*take the detach\(\), the no_grad"):
        model(discriminator=NoGradients())


def test_a_frozen_discriminator_has_gradients_of_the_images():
    assert model(discriminator=dense_discriminator().requires_grad_(False)).discriminator_adapter.output == "logits"


def test_a_mean_over_the_batch_and_a_list_of_one_are_refused_with_the_change():
    with pytest.raises(ValueError, match=r"got shape \(\); leave the mean over the batch out of D"):
        model(discriminator=Ends(dense_discriminator(), torch.mean))
    with pytest.raises(ValueError, match=r"a list of a Tensor of shape \(2, 1\), .*discriminator_output=lambda"):
        model(discriminator=Ends(dense_discriminator(), lambda x: [x]))


def test_codes_may_be_a_dict_beside_the_validity():
    def form(validity, features):
        return validity, {"style": features[:, :4], "digit": features[:, 4:8]}

    gan, x = model(discriminator=Returns(form)), images(3)
    features = gan.discriminator.trunk(x)
    assert torch.equal(gan.discriminate(x).q_outputs, torch.cat([features[:, 4:8], features[:, :4]], 1))


def test_what_is_said_of_the_output_holds():
    d = Ends(dense_discriminator(norm=False).double(), hand_sigmoid)
    gan = model(dense_generator().double(), d, discriminator_output="probabilities")
    x = images(5, dtype=torch.float64)
    torch.testing.assert_close(gan.discriminate(x).logits, d.body(x), rtol=1e-9, atol=1e-9)
    assert torch.equal(model(dense_generator().double(), d, discriminator_output="logits").discriminate(x).logits, d(x))
    with pytest.raises(ValueError, match=r"'probabilities', but D returned values from -.* say 'logits', or end D in"):
        model(discriminator=dense_discriminator(), discriminator_output="probabilities")


@dataclass
class Verdict:
    validity: Tensor
    features: Tensor


class Returns(nn.Module):
    """D with its features beside the validity, in whatever form."""

    def __init__(self, form):
        super().__init__()
        self.trunk, self.head, self.form = nn.Sequential(nn.Flatten(), nn.Linear(16, 12)), nn.Linear(12, 1), form

    def forward(self, x):
        features = self.trunk(x)
        return self.form(self.head(features), features)


FORMS: dict[str, tuple[Any, Any, Any]] = {
    "tuple": (lambda v, f: (v, f), lambda out: out[0], lambda out: out[1]),
    "features first": (lambda v, f: (f, v), lambda out: out[1], lambda out: out[0]),
    "dict": (lambda v, f: {"validity": v, "features": f}, lambda out: out["validity"], lambda out: out["features"]),
    "dataclass": (Verdict, lambda out: out.validity, lambda out: out.features),
}


@pytest.mark.parametrize(("form", "validity", "features"), FORMS.values(), ids=FORMS)
def test_functions_pick_the_validity_and_the_features(form, validity, features, tmp_path):
    d, x = Returns(form), images(3)
    gan = model(discriminator=d, discriminator_output=validity, tap=features)
    assert gan.discriminator_adapter.tap is None
    result = gan.discriminate(x)
    assert torch.equal(result.logits, d.head(d.trunk(x)))
    assert torch.equal(result.q_outputs, gan.q(d.trunk(x)))
    assert {len(gan.parameter_groups()[part]) for part in ("trunk", "d_head")} == {2}
    trainer = make_trainer(gan)
    trainer.fit(images(16), steps=2, batch_size=8)
    gan.save(tmp_path)
    torch.manual_seed(1)
    networks = {"generator": dense_generator(), "discriminator": Returns(form)}
    again = ig.InfoGAN.load(tmp_path, **networks, tap=features, discriminator_output=validity)
    assert torch.equal(again.q_outputs(x), gan.q_outputs(x))
    with pytest.raises(CheckpointError, match="functions for 'tap' and 'discriminator_output', but .* no functions"):
        ig.InfoGAN.load(tmp_path, **networks)


def test_the_validity_alone_leaves_the_features_to_a_tap():
    gan = model(discriminator=Returns(lambda v, f: {"v": v, "f": f}), discriminator_output=lambda out: out["v"])
    assert str(gan.discriminator_adapter.tap) == str(ig.Tap("head", "input"))


def test_probabilities_in_a_dict_are_read_by_their_sigmoid():
    gan = model(
        discriminator=Returns(lambda v, f: {"p": v.sigmoid(), "f": f}), discriminator_output=lambda out: out["p"]
    )
    d, x = gan.discriminator, images(4)
    assert torch.equal(gan.discriminate(x).logits, d.head(d.trunk(x)))


def test_a_function_may_return_the_codes_as_well():
    class Full(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Sequential(nn.Flatten(), nn.Linear(16, 9))

        def forward(self, x):
            out = self.layer(x)
            return {"validity": out[:, :1], "codes": out[:, 1:]}

    gan = model(discriminator=Full(), discriminator_output=lambda out: (out["validity"], out["codes"]))
    assert gan.q is None
    x = images(3)
    assert torch.equal(gan.discriminate(x).q_outputs, gan.discriminator.layer(x)[:, 1:])


TWO_SCALES = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))


class Scales(nn.Module):
    """A multi-scale D: validities at two scales, of which the second has as many numbers as four categories."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 2, 2)

    def forward(self, x):
        return [self.first(x), self.second(x)]


class FlatScales(Scales):
    def forward(self, x):
        return [scale.flatten(1) for scale in super().forward(x)]


def test_rows_of_several_numbers_are_no_validity_beside_codes_unless_a_function_says_so():
    four = ig.LatentSpec(z=ig.Noise(7), digit=ig.Categorical(4))
    with pytest.raises(ValueError, match=r"has 16 numbers per image, as codes or a flattened map .*discriminator_outp"):
        model(discriminator=FlatScales(), latent=four)
    told = model(discriminator=FlatScales(), latent=four, discriminator_output=lambda out: (out[0], out[1]))
    assert told.discriminate(images(3)).logits.shape == (3, 16)


def test_no_guess_where_a_tuple_can_be_read_in_two_ways():
    four = ig.LatentSpec(z=ig.Noise(7), digit=ig.Categorical(4))
    with pytest.raises(ValueError, match=r"of shape \(2, 1, 2, 2\) cannot be the codes' outputs.*lambda out: out\[0\]"):
        model(discriminator=Scales(), latent=four)

    def both(out):
        return torch.cat([scale.flatten(1) for scale in out], 1)

    gan = model(discriminator=Scales(), latent=four, discriminator_output=both)
    assert gan.discriminate(images(3)).logits.shape == (3, 20)
    with pytest.raises(ValueError, match=r"shape \(2, 12\) .* codes need 8 .*or say what it returns: discriminator"):
        model(discriminator=Returns(lambda v, f: (v, f)))
    with pytest.raises(ValueError, match=r"a dict of 'validity' and 'features'; say what it returns"):
        model(discriminator=Returns(lambda v, f: {"validity": v, "features": f}))
    with pytest.raises(ValueError, match=r"discriminator_output, a function, failed on a dict of 'a'.*KeyError"):
        model(discriminator=Returns(lambda v, f: {"a": v}), discriminator_output=lambda out: out["b"])
    with pytest.raises(TypeError, match="tap=, a function, returned tuple instead of a Tensor"):
        model(discriminator=Returns(lambda v, f: (v, f)), discriminator_output=lambda o: o[0], tap=lambda o: o)


# What Q returns ------------------------------------------------------------------------------------------------------


class Head(nn.Module):
    """Q's outputs by parts, each through a function."""

    def __init__(self, width, category=None, mean=None, scale=None, joined=False):
        super().__init__()
        functions = [category, mean] if scale == "none" else [category, mean, scale]
        self.functions, self.joined = functions, joined
        self.layers = nn.ModuleList([nn.Linear(16, 4), nn.Linear(16, width), nn.Linear(16, width)][: len(functions)])

    def forward(self, features):
        outputs = [
            layer(features) if function is None else function(layer(features))
            for layer, function in zip(self.layers, self.functions, strict=True)
        ]
        return torch.cat(outputs, 1) if self.joined else tuple(outputs)


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(
    ("style", "settings", "message"),
    [
        (ig.Uniform(2), {"scale": torch.exp}, "an exp where NormalNLL.* takes a log-scale.*remove the exp"),
        (ig.Uniform(2), {"scale": lambda x: nn.functional.softplus(x) + 1e-6}, "a Softplus where NormalNLL"),
        (ig.Uniform(2), {"scale": torch.relu}, "a ReLU where NormalNLL"),
        (ig.Gaussian(2), {"scale": torch.sigmoid}, "a Sigmoid where NormalNLL"),
        (
            ig.Uniform(2),
            {"mean": torch.sigmoid},
            r"a Sigmoid and lie in \[0, 1\], but Uniform\(2\) has .* \[-1, 1\]",
        ),
        (ig.Uniform(2), {"mean": torch.relu}, r"a ReLU and lie in \[0, inf\]"),
        (ig.Uniform(2), {"mean": lambda x: x.softmax(1)}, "a Softmax and lie in"),
        (ig.Uniform(2, low=0, high=1), {"mean": lambda x: x.softmax(1)}, "a Softmax and lie in"),
        (ig.Uniform(2, high=3.0), {"mean": torch.tanh}, r"a Tanh and lie in \[-1, 1\], but .* values in \[-1, 3\]"),
        (ig.Gaussian(2), {"mean": torch.tanh}, r"a Tanh .* has values in \[-inf, inf\]"),
        (ig.Bernoulli(2), {"mean": torch.sigmoid, "scale": "none"}, "a Sigmoid, but the cross-entropy of Bernoulli"),
        (ig.Uniform(2), {"category": torch.relu}, "'digit' come out of a ReLU, but the cross-entropy"),
        (ig.Uniform(2), {"category": torch.tanh}, "'digit' come out of a Tanh, but the cross-entropy"),
        (ig.Uniform(2), {"category": lambda x: x.softmax(1)}, "'digit' come out of a Softmax, but the cross-entropy"),
    ],
)
def test_outputs_that_cannot_say_what_their_code_needs_are_refused(style, settings, message, joined):
    latent = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4), style=style)
    head = Head(2, **settings, joined=joined)
    with pytest.raises(ValueError, match=message):
        model(dense_generator(11), latent=latent, q_head=head, tap="1")


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(
    ("style", "settings"),
    [
        (ig.Uniform(2), {}),
        (ig.Uniform(2), {"mean": torch.tanh, "scale": torch.tanh}),
        (ig.Uniform(2, low=0, high=1), {"mean": torch.sigmoid}),
        (ig.Uniform(2), {"mean": lambda x: 2 * x.sigmoid() - 1}),
        (ig.Uniform(2), {"category": lambda x: x.log_softmax(1), "scale": lambda x: x.exp().log()}),
        (ig.Uniform(2), {"scale": lambda x: x.exp() - 1}),
        (ig.Gaussian(2), {"mean": lambda x: x.clamp(-5, 5), "scale": lambda x: x.clamp(-4, 4)}),
    ],
)
def test_outputs_that_reach_what_their_code_needs_are_taken(style, settings, joined):
    latent = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4), style=style)
    gan = model(dense_generator(11), latent=latent, q_head=Head(2, **settings, joined=joined), tap="1")
    assert gan.q_outputs(images(3)).shape == (3, 8)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"mean": Tensor.detach, "scale": Tensor.detach}, "style"),
        ({"category": lambda x: nn.functional.one_hot(x.argmax(1), 4).float()}, "digit"),
    ],
)
def test_a_code_whose_outputs_have_no_gradients_is_refused(settings, code):
    with pytest.raises(ValueError, match=f"Q's outputs for '{code}' have no gradients with respect to the images"):
        model(q_head=Head(2, **settings), tap="1")


WRITTEN_BY_HAND = {
    "square": (lambda x: x[:, :4], lambda x: x[:, 4:6], lambda x: x[:, 6:].square() + 0.1, "'style'.*log-scale"),
    "power": (lambda x: x[:, :4], lambda x: x[:, 4:6], lambda x: 2.0 ** x[:, 6:], "'style'.*log-scale"),
    "inverse": (lambda x: x[:, :4], lambda x: x[:, 4:6], lambda x: 1 / x[:, 6:].exp(), "'style'.*log-scale"),
    "maximum": (lambda x: x[:, :4], lambda x: x[:, 4:6], lambda x: x[:, 6:].maximum(x.new_zeros(1)), "log-scale"),
    "mean": (lambda x: x[:, :4], lambda x: hand_sigmoid(x[:, 4:6]), lambda x: x[:, 6:], r"'style' lie in \[0, 1\]"),
    "straight-through": (
        lambda x: nn.functional.gumbel_softmax(x[:, :4], hard=True),
        lambda x: x[:, 4:6],
        lambda x: x[:, 6:],
        "'digit'.*logits",
    ),
    "probabilities": (lambda x: hand_sigmoid(x[:, :4]), lambda x: x[:, 4:6], lambda x: x[:, 6:], "'digit'.*logits"),
}


@pytest.mark.parametrize(("digit", "mean", "scale", "message"), WRITTEN_BY_HAND.values(), ids=WRITTEN_BY_HAND)
def test_what_bounds_the_outputs_of_q_is_seen_where_it_is_written_by_hand(digit, mean, scale, message):
    torch.manual_seed(0)
    q = Ends(nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), lambda x: torch.cat([digit(x), mean(x), scale(x)], 1))
    with pytest.raises(ValueError, match=message):
        model(q_network=q)


@pytest.mark.parametrize("end", [nn.LeakyReLU(0.2), nn.BatchNorm1d(8), nn.ELU(), nn.GELU()])
def test_an_end_of_q_with_both_signs_is_taken_whatever_a_batch_shows(end):
    last = nn.Linear(16, 8)
    nn.init.constant_(last.bias, 5.0)
    nn.init.constant_(last.weight, 0.0)
    nn.init.constant_(last.weight[:, 0], 1e-3)
    model(q_network=nn.Sequential(nn.Flatten(), last, end))


def test_the_scale_beside_a_mean_may_be_fixed():
    gan = model(q_head=Head(2, scale=torch.zeros_like), tap="1")
    make_trainer(gan).fit(images(16), steps=1, batch_size=8)
    frozen = model(q_head=Head(2).requires_grad_(False), tap="1")
    assert frozen.q_outputs(images(3)).shape == (3, 8)


@pytest.mark.parametrize(
    ("function", "received"),
    [
        (lambda raw: (raw[:, :4], (raw[:, 4:6], raw[:, 6:])), r"a tuple of a Tensor of shape \(2, 4\), a tuple of"),
        (lambda raw: {"digit": raw[:, :4], "style": None}, "a dict of 'digit' and 'style'"),
        (lambda raw: torch.distributions.Normal(raw, 1.0), "Normal"),
    ],
)
def test_what_is_no_tensor_of_outputs_is_refused_with_the_argument_that_reads_it(function, received):
    with pytest.raises(TypeError, match=rf"raw outputs .* but got {received}.*; pick them by q_output="):
        model(q_head=Ends(nn.Linear(16, 8), function), tap="1")


def test_a_reader_that_fails_is_named():
    with pytest.raises(ValueError, match=r"q_output, a function, failed on a Tensor .* Q returned: KeyError: 'x'"):
        model(q_output=lambda out: {}["x"])
    with pytest.raises(ValueError, match=r"flat: generator_output failed on a Tensor .*: KeyError: 'x'"):
        model(generator_output=lambda out: {}["x"])
    with pytest.raises(ValueError, match=r"the codes need 8 .*; or pick them by q_output="):
        model(q_head=nn.Linear(16, 9), tap="1")


@dataclass
class Codes:
    digit: Tensor
    style: Tensor


def test_a_function_picks_what_q_returns(tmp_path):
    head = nn.Linear(16, 8)
    wrapped = Ends(head, lambda raw: Codes(raw[:, :4], raw[:, 4:]))
    read = {"q_output": lambda out: (out.digit, out.style)}
    gan = model(q_head=wrapped, tap="1", **read)
    assert torch.equal(gan.q_outputs(images(3)), head(gan.discriminator[:2](images(3))))
    gan.save(tmp_path)
    with pytest.raises(CheckpointError, match="functions for 'q_output', but what was given is no functions"):
        ig.InfoGAN.load(tmp_path, generator=gan.generator, discriminator=gan.discriminator, q_head=wrapped)
    networks = {"generator": dense_generator(), "discriminator": dense_discriminator()}
    again = ig.InfoGAN.load(tmp_path, **networks, q_head=Ends(nn.Linear(16, 8), wrapped.function), **read)
    assert torch.equal(again.q_outputs(images(3)), gan.q_outputs(images(3)))


# What G takes and returns --------------------------------------------------------------------------------------------


class Labeled(nn.Module):
    """A conditional G: a category as an index into an embedding."""

    def __init__(self, zeros=False):
        super().__init__()
        self.embedding, self.body = nn.Embedding(4, 4), dense_generator(11)
        if zeros:
            nn.init.zeros_(self.embedding.weight)

    def forward(self, z, digit, style):
        return self.body(torch.cat([z, self.embedding(digit), style], 1))


@pytest.mark.parametrize("zeros", [False, True])
def test_a_category_as_an_index(zeros):
    gan = model(Labeled(zeros))
    assert gan.generator_adapter.input == "indices"
    trainer = make_trainer(gan)
    before = gan.generator.embedding.weight.detach().clone()
    trainer.fit(images(32), steps=3, batch_size=16)
    assert (gan.generator.embedding.weight != before).any()
    latent = gan.latent.sample(3, rng=torch.Generator().manual_seed(0))
    parts = gan.latent.split(gan.latent.replace_values(latent, {"digit": [0, 1, 3]}))
    gan.eval()
    with torch.no_grad():
        expected = gan.generator(parts["z"], torch.tensor([0, 1, 3]), parts["style"])
    assert torch.equal(gan.decode(gan.latent.replace_values(latent, {"digit": [0, 1, 3]})), expected)


@pytest.mark.parametrize(
    ("form", "pick"),
    [
        (lambda x: (x, x.mean()), lambda out: out[0]),
        (lambda x: {"sample": x}, lambda out: out["sample"]),
        (lambda x: Verdict(x, x), lambda out: out.validity),
    ],
)
def test_a_function_picks_the_images(form, pick, tmp_path):
    generator = Ends(dense_generator(), form)
    with pytest.raises(ValueError, match=r"(?s)flat: returned .* generator_output=lambda out: out\[0\], for instance"):
        model(generator)
    gan = model(generator, generator_output=pick)
    make_trainer(gan, ema_decay=0.9).fit(images(16), steps=1, batch_size=8)
    assert gan.sample(2).shape == (2, 1, 4, 4)
    gan.save(tmp_path)
    networks = {"generator": Ends(dense_generator(), form), "discriminator": dense_discriminator()}
    again = ig.InfoGAN.load(tmp_path, **networks, generator_output=pick)
    assert torch.equal(again.sample(3, seed=0), gan.sample(3, seed=0))


class Reads(nn.Module):
    """A G that reads some columns of its input."""

    def __init__(self, columns, zeros=()):
        super().__init__()
        self.columns, self.body = columns, dense_generator(len(columns))
        with torch.no_grad():
            self.body[0].weight[:, list(zeros)] = 0

    def forward(self, latent):
        return self.body(latent[:, self.columns])


@pytest.mark.parametrize(
    "end",
    [
        without_gradients(torch.tanh),
        lambda x: x.tanh().detach(),
        lambda x: (127.5 * (x.tanh() + 1)).to(torch.uint8),
    ],
)
def test_a_generator_without_gradients_is_refused(end):
    with pytest.raises(ValueError, match=r"images \(torch.\w+\) have no gradients.*take the detach\(\), the no_grad"):
        model(dense_generator(end=Ends(nn.Identity(), end)))


def test_a_frozen_generator_needs_no_gradients():
    assert model(dense_generator(end=Ends(nn.Identity(), Tensor.detach)).requires_grad_(False)).sample(2).shape[0] == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_of_another_dtype_than_the_discriminators_are_refused(dtype):
    with pytest.raises(ValueError, match=r"discriminator did not take images .*RuntimeError: .*dtype"):
        model(dense_generator(end=Ends(nn.Tanh(), lambda x: x.to(dtype))))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_model_is_made_and_loaded_without_gradients(mode, tmp_path):
    model().save(tmp_path)
    with mode():
        model()
        gan = ig.InfoGAN.load(tmp_path, generator=dense_generator(), discriminator=dense_discriminator())
        assert gan.sample(2).shape == (2, 1, 4, 4)


def test_a_generator_that_ignores_a_code_is_refused():
    with pytest.raises(ValueError, match=r"ignores 'style'.*Q could never learn it.*z 5, digit 4, style 2"):
        model(Reads(list(range(9))))
    with pytest.raises(ValueError, match="ignores 'digit'"):
        model(Reads([0, 1, 2, 3, 4, 9, 10]))


def test_codes_that_have_no_effect_yet_are_taken():
    model(Reads(list(range(11)), zeros=(9, 10)))  # learned from weights of zero, as in adaptive norms
    model(Reads(list(range(11)), zeros=range(11)))
    model(Reads([*range(9), 9]))  # one dimension of two
    model(Reads(list(range(5, 11))))  # noise may be unused


class DrawsItsOwnNoise(nn.Module):
    """A G that does not read its input at all."""

    def __init__(self):
        super().__init__()
        self.body = dense_generator()

    def forward(self, latent):
        return self.body(torch.randn_like(latent))


def test_a_generator_that_reads_nothing_of_its_latent_is_refused():
    with pytest.raises(ValueError, match="the generator ignores 'digit'"):
        model(DrawsItsOwnNoise())


def test_swapped_networks_are_named():
    with pytest.raises(ValueError, match="are generator and discriminator swapped"):
        model(dense_discriminator(), dense_generator())


@pytest.mark.parametrize(
    ("generator", "says", "says_not"),
    [
        (dense_generator(12), "first layer must take 11 inputs", "generator_output"),
        (Ends(dense_generator(), lambda x: (x, x)), "generator_output=", "first layer"),
        (Ends(dense_generator(), lambda x: x.mean()), r"must return images (N, *)", "first layer"),
        (Ends(dense_generator(), lambda x: x.no_such_method()), "call it by hand", "first layer"),
        (Ends(dense_generator(), nn.Linear(7, 5)), "call it by hand", "first layer"),
        (Ends(dense_generator(), lambda x: x.view(1, 4, 4)), "call it by hand", "first layer"),
    ],
)
def test_the_advice_fits_what_went_wrong(generator, says, says_not):
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        model(generator)
    assert says_not not in str(error.value)


# The range of pixels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [nn.Hardtanh(0, 1), nn.Sigmoid(), nn.Hardsigmoid()])
def test_the_range_of_a_generator_is_read_off_its_end(end):
    gan = model(dense_generator(end=end))
    assert gan.output_range == gan.pixel_range == gan.display_range == (0, 1)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (hand_sigmoid, (0, 1)),
        (torch.sin, (-1, 1)),
        (lambda x: torch.cat([x[:, :, :2].tanh(), x[:, :, 2:].sigmoid()], 2), (-1, 1)),
        (lambda x: x, None),
        (torch.relu, None),
    ],
)
def test_a_range_that_no_operation_tells_is_measured(function, expected):
    gan = model(Ends(dense_generator(end=nn.Identity()), function))
    assert gan.output_range == gan.pixel_range == expected
    assert gan.training
    assert gan.generator.training


@pytest.mark.parametrize(
    ("data", "expected"), [((images(16) + 1) / 2, (0, 1)), (images(16), (-1, 1)), (9 * images(9), None)]
)
def test_an_unknown_range_is_taken_from_the_data_or_asked_for(data, expected):
    trainer = make_trainer(dense_generator(end=nn.Identity()))
    trainer.fit(data, steps=1, batch_size=8)
    assert trainer.model.pixel_range == expected
    if expected is None:
        with pytest.warns(UserWarning, match=r"range .* not known.*\(-1, 1\) is taken; set model.pixel_range"):
            assert trainer.model.display_range == (-1, 1)


@pytest.mark.parametrize(
    "use",
    [
        lambda gan, x: gan.encode(x),
        lambda gan, x: gan.q_outputs(x),
        lambda gan, x: gan.name_categories(x, torch.arange(8) % 4),
        lambda gan, x: make_trainer(gan).step(x),
        lambda gan, x: make_trainer(gan).fit(x, steps=1, batch_size=8),
        lambda gan, x: make_trainer(gan).fit([x], steps=1),
    ],
    ids=["encode", "q_outputs", "name_categories", "step", "fit", "fit batches"],
)
def test_images_in_another_range_than_the_generators_are_told_at_every_door(use):
    with pytest.warns(UserWarning, match=r"data lies in \[.*\], but the generator reaches \[-1, 1\] only"):
        use(model(), images(8) * 127 + 128)


def test_a_head_that_begins_with_zeros_is_taken():
    head = nn.Linear(16, LATENT.num_outputs)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    head.register_forward_hook(lambda module, inputs, output: output.tan())  # an end that no operation tells
    assert not model(dense_generator(), dense_discriminator(), q_head=head).q_outputs(images(8)).any()


def test_a_loop_is_told_once():
    trainer = make_trainer()
    with pytest.warns(UserWarning, match="data lies in"):
        trainer.step(images(8) * 127 + 128)
    trainer.step(images(8) * 127 + 128)  # a warning would be an error


def test_a_latent_says_the_support_of_its_codes():
    assert ig.Uniform(2, low=-2, high=3).support == (-2, 3)
    assert ig.Gaussian(1).support == (-float("inf"), float("inf"))
    assert losses.NormalNLL() == ig.Uniform(2).loss
