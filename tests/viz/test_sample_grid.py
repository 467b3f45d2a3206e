"""Grids written during training, and their animation."""

import os
import sys

import matplotlib.image
import numpy as np
import PIL.EpsImagePlugin
import PIL.Image
import pytest
import torch

import infogan_lib as ig
from infogan_lib.viz import SampleGrid, animate_folder, save_png
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def test_sample_grids_are_written_at_regular_steps_from_fixed_latents(tmp_path):
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    callback = SampleGrid(tmp_path, every=2, rows=3)
    trainer.fit(images(64), steps=5, batch_size=16, callbacks=[callback])
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["step_0000002.png", "step_0000004.png"]
    assert matplotlib.image.imread(tmp_path / files[0]).shape[:2] == (3 * 6 - 2, 4 * 6 - 2)
    latents = callback.latents
    trainer.fit(images(64), steps=1, batch_size=16, callbacks=[callback])
    assert torch.equal(callback.latents, latents)


def test_pictures_of_a_model_without_discrete_codes(tmp_path):
    spec = ig.LatentSpec(z=ig.Noise(4), style=ig.Uniform(2))
    trainer = make_trainer(dense_generator(6), dense_discriminator(), spec)
    trainer.fit(images(64), steps=1, batch_size=16, callbacks=[SampleGrid(tmp_path, every=1, rows=2)])
    assert (tmp_path / "step_0000001.png").is_file()


def test_a_missing_matplotlib_is_missed_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    with pytest.raises(ImportError, match=r"pip install 'infogan-lib\[viz\]'"):
        trainer.fit(images(64), steps=2, batch_size=16, callbacks=[SampleGrid(tmp_path, every=2)])
    assert trainer.steps == 0


def test_an_animation_has_the_pictures_in_order_of_their_steps(tmp_path):
    shades = (0.0, 0.4, 1.0)
    for step, shade in zip((500, 250, 1000), (shades[1], shades[0], shades[2]), strict=True):
        save_png(np.full((4, 6, 3), shade, dtype=np.float32), tmp_path / f"step_{step:07d}.png")
    assert animate_folder(tmp_path, tmp_path / "made" / "progress.gif", seconds=0.2) == 3
    with PIL.Image.open(tmp_path / "made" / "progress.gif") as gif:
        assert gif.n_frames == 3
        frame_shades, durations = [], []
        for frame in range(3):
            gif.seek(frame)
            frame_shades.append(gif.convert("RGB").getpixel((2, 2))[0] / 255)
            durations.append(gif.info["duration"])
    assert frame_shades == pytest.approx(shades, abs=0.02)
    assert durations == [200, 200, 1000]


@pytest.mark.parametrize("name", ["a.psd", "a.txt", "a"])
def test_a_file_that_is_no_animation_is_refused_before_a_picture_is_read(tmp_path, name):
    (tmp_path / "step_1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"path must end as an animation does, such as \.gif, but got"):
        animate_folder(tmp_path, tmp_path / name)


def test_folders_that_cannot_be_animated_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no picture step_\*.png in"):
        animate_folder(tmp_path, tmp_path / "a.gif")
    save_png(np.zeros((4, 6, 3), dtype=np.float32), tmp_path / "step_1.png")
    save_png(np.zeros((5, 6, 3), dtype=np.float32), tmp_path / "step_2.png")
    with pytest.raises(ValueError, match=r"different sizes, \[\(6, 4\), \(6, 5\)\]"):
        animate_folder(tmp_path, tmp_path / "a.gif")
    with pytest.raises(ValueError, match="seconds must be a finite number above 0"):
        animate_folder(tmp_path, tmp_path / "a.gif", seconds=0)
    with pytest.raises(ValueError, match="seconds must be at most 100"):
        animate_folder(tmp_path, tmp_path / "a.gif", seconds=101)


def test_pictures_of_ten_million_steps_are_in_order(tmp_path):
    for step, shade in ((10_000_000, 1.0), (9_999_999, 0.0)):
        save_png(np.full((4, 6, 3), shade, dtype=np.float32), tmp_path / f"step_{step:07d}.png")
    animate_folder(tmp_path, tmp_path / "a.gif", seconds=100)
    with PIL.Image.open(tmp_path / "a.gif") as gif:
        assert gif.convert("RGB").getpixel((2, 2)) == (0, 0, 0)


@pytest.mark.parametrize("content", [b"", b"no picture", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n"])
def test_a_picture_that_cannot_be_read_is_named_and_runs_nothing(tmp_path, monkeypatch, content):
    save_png(np.zeros((4, 6, 3), dtype=np.float32), tmp_path / "step_1.png")
    (tmp_path / "step_2.png").write_bytes(content)
    monkeypatch.setattr(PIL.EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was called"))
    with pytest.raises(ValueError, match=r"step_2.png is no picture that can be read: .*; remove it"):
        animate_folder(tmp_path, tmp_path / "a.gif")


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes")
def test_a_pipe_among_the_pictures_is_not_waited_for(tmp_path):
    save_png(np.zeros((4, 6, 3), dtype=np.float32), tmp_path / "step_1.png")
    os.mkfifo(tmp_path / "step_2.png")
    assert animate_folder(tmp_path, tmp_path / "a.gif") == 1
