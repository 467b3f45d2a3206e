"""A model with every kind of code, pictures and a run folder that the explorer's tests share."""

import io
import json
import struct
import urllib.request
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

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
VALUES = {"digit": 2, "style": [0.5, 3.0], "tilt": [-2.0], "bits": [0, 2], "hand": 0.25}

# Gradio counts refused requests in a way that pandas 3 calls deprecated.
GRADIO_WARNINGS = [
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated:DeprecationWarning"),
]


def toy(latent=LATENT, shape=(1, 8, 8), seed=0):
    torch.manual_seed(seed)
    return InfoGAN(dense_generator(latent.width, shape), dense_discriminator(shape), latent)


def png(pixels, kind="PNG", **settings):
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    file = io.BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


def colors(height=40, width=60):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def bare_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end


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


PICTURE = png(colors())
