"""A model with every kind of code, and a run folder, that the explorer's tests share."""

import json
import urllib.request

import torch

from custom_code import Angle
from infogan_lib import Bernoulli, Categorical, Engine, Gaussian, InfoGAN, LatentSpec, Noise, Uniform, recipes
from toys import LATENT, dense_discriminator, dense_generator

ALL = LatentSpec(
    z=Noise(5),
    digit=Categorical(4),
    style=Uniform(2, low=-1, high=3),
    tilt=Gaussian(1),
    bits=Bernoulli(3),
    hand=Angle(),
)


def toy(latent=LATENT, shape=(1, 8, 8), seed=0):
    torch.manual_seed(seed)
    return InfoGAN(dense_generator(latent.width, shape), dense_discriminator(shape), latent)


def finished_run(folder, name="default", width=0.1):
    recipe = recipes.get(name, width=width, seed=3)
    model = recipe.trainer(engine=Engine("cpu")).model
    recipes.save_run(folder, recipe, model)
    return model


def request(url, data=None, **headers):
    body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    http_request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(http_request, timeout=30) as answer:
        return answer.status, answer.headers, answer.read()
