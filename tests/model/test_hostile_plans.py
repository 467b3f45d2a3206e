"""Manifests of models made to do harm, under right checksums: refused by name, in bounded time and memory."""

import json
import time

import pytest
import torch

import infogan_lib as ig
from infogan_lib.checkpoints.bundle import read_bundle, write_bundle
from memory import bounded_memory
from toys import LATENT, dense_discriminator, dense_generator


def latent(**changes):
    return json.dumps({**json.loads(LATENT.to_json()), **changes})


def noise(dim):
    return {"latent": latent(z={"kind": "Noise", "dim": dim})}


def category(k):
    return {"latent": latent(digit={"kind": "Categorical", "k": k})}


PLANS = [
    (noise(10**12), "latent: dim must be a whole number of at most"),
    (noise(2 * 10**8), "latent: dim must be a whole number of at most"),
    (noise(1e300), "latent: z: dim must be a whole number"),
    (noise(10**4000), "latent: dim must be a whole number of at most"),
    (category(10**9), "latent: k of Categorical must be a whole number of at most"),
    (category(5 * 10**7), "latent: k of Categorical must be a whole number of at most"),
    (category(2**20 - 7), "does not fit these networks"),
    ({"latent": "[" * 100_000}, "latent: not the JSON of a LatentSpec"),
    ({"latent": '{"a":' * 3000 + "1" + "}" * 3000}, "latent"),
    ({"latent": json.dumps({f"c{i}": {"kind": "Categorical", "k": 2} for i in range(15_000)})}, "does not fit these"),
    ({"image_shape": ["a"]}, r"image_shape\[0\] must be a whole number"),
    ({"image_shape": [10**9] * 3}, "its images have shape"),
    ({"image_shape": [10**30] * 3}, r"image_shape\[0\] must be a whole number"),
    ({"image_shape": []}, "image_shape must be a list of 1 to 8 items"),
    ({"image_shape": None}, "image_shape must be a list"),
    ({"category_names": {"digit": "abcd"}}, r"category_names\['digit'\] must be a list, but got 'abcd'"),
    ({"category_names": {"digit": [1, 2, 3, 4]}}, r"category_names\['digit'\]\[0\] must be text"),
    ({"pixel_range": ["a", "b"]}, r"pixel_range\[0\] must be a finite number"),
    ({"generator_input": []}, "generator_input must be one of"),
    ({"discriminator_output": 7}, "discriminator_output must be one of"),
    ({"tap": ["4", "sideways"]}, r"tap\[1\] must be 'input' or 'output'"),
    ({"ema_decay": 10**9}, "ema_decay must be a finite number from 0 to 1"),
    ({"library": {"a": 1}}, "library must be text"),
    ({"torch": None}, "torch must be text"),
    ({"q": {}}, "its Q is"),
    ({"q": []}, "its Q is"),
    ({"fingerprint": {"computed_in": "x", "outputs": {"generator": ["a"]}}}, "fingerprint.outputs"),
]


@pytest.mark.parametrize(("changes", "message"), PLANS, ids=[str(changes)[:40] for changes, _ in PLANS])
def test_a_forged_plan_is_refused_before_anything_is_built(tmp_path, changes, message):
    torch.manual_seed(0)
    ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT).save(tmp_path)
    metadata, state = read_bundle(tmp_path, "model", max_bytes=1 << 24)
    write_bundle(tmp_path, "model", metadata | changes, state, max_bytes=1 << 24)
    generator, discriminator = dense_generator(), dense_discriminator()
    started = time.process_time()
    with bounded_memory(300), pytest.raises(ig.CheckpointError, match=message):
        ig.InfoGAN.load(tmp_path, generator=generator, discriminator=discriminator)
    assert time.process_time() - started < 10
