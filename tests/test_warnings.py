"""A warning names the line of the program that called the library, whichever door it came through and however deep."""

import pytest
import torch
from torch import nn

from infogan_lib import Checkpoints, InfoGAN
from infogan_lib.callbacks import EarlyStopping
from infogan_lib.data import ImageFolder
from infogan_lib.evaluation import Evaluator
from infogan_lib.training import Callback
from infogan_lib.viz import plot_categories
from resume_toys import fit, trainer
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

FAR = 3 * images(16)
"""Images outside of the range of a Tanh."""


def model(end=None):
    return InfoGAN(dense_generator(end=end), dense_discriminator(), LATENT)


def encode(_):
    model().encode(FAR)


def q_outputs(_):
    model().q_outputs(FAR)


def fit_far_images(_):
    make_trainer().fit(FAR, steps=1, batch_size=8)


def fit_bytes_of_a_range_that_is_not_known(_):
    data = torch.randint(256, (16, 1, 4, 4), dtype=torch.uint8)
    make_trainer(dense_generator(end=nn.Identity())).fit(data, steps=1, batch_size=8)


def evaluate_far_images(_):
    labels = torch.arange(16) % 4
    make_trainer().fit(images(16), steps=1, batch_size=8, callbacks=[Evaluator(FAR, labels, every=1)])


def encode_in_a_callback(_):
    class Encoder(Callback):
        def on_fit_end(self, trainer):
            trainer.model.encode(FAR.to(trainer.device))

    make_trainer().fit(images(16), steps=1, batch_size=8, callbacks=[Encoder()])


def draw_in_a_range_that_is_not_known(_):
    plot_categories(model(end=nn.Identity()), "digit", rows=1)


def read_a_folder_with_a_damaged_file(path):
    pillow = pytest.importorskip("PIL.Image")
    pillow.new("L", (4, 4)).save(path / "a.png")
    (path / "b.png").write_bytes(b"no picture")
    ImageFolder(path, 4)


def load_into_another_generator(path):
    model().save(path)
    InfoGAN.load(path, generator=dense_generator(end=nn.Identity()), discriminator=dense_discriminator())


def resume_with_other_data(path):
    fit(trainer(), steps=3, checkpoints=path)
    trainer().fit(images(40, seed=9), steps=6, batch_size=8, checkpoints=path)


def resume_with_another_generator(path):
    make_trainer().fit(images(16), steps=1, batch_size=8, checkpoints=path)
    make_trainer(dense_generator(end=nn.Hardtanh())).fit(images(16), steps=2, batch_size=8, checkpoints=path)


def resume_behind_a_damaged_checkpoint(path):
    fit(trainer(), steps=4, checkpoints=Checkpoints(path, every=2, keep=2))
    (path / "checkpoints/step_0000000004/manifest.json").write_bytes(b"")
    trainer().fit(images(40), steps=4, batch_size=8, checkpoints=path)


def step_in_eval_mode(_):
    trainer = make_trainer()
    trainer.model.eval()
    trainer.step(images(8))


def stop_by_a_metric_that_is_not_there(_):
    make_trainer().fit(images(16), steps=1, batch_size=8, callbacks=[EarlyStopping("nothing", mode="min", every=1)])


@pytest.mark.parametrize(
    ("door", "message"),
    [
        (encode, "data lies in"),
        (q_outputs, "data lies in"),
        (fit_far_images, "data lies in"),
        (fit_bytes_of_a_range_that_is_not_known, "range of the generator's images is not known"),
        (evaluate_far_images, "data lies in"),
        (encode_in_a_callback, "data lies in"),
        (draw_in_a_range_that_is_not_known, "range of the generator's images is not known"),
        (read_a_folder_with_a_damaged_file, "cannot be read"),
        (load_into_another_generator, "does not compute"),
        (resume_with_other_data, "is not what it was"),
        (resume_with_another_generator, "does not compute"),
        (resume_behind_a_damaged_checkpoint, "trying an earlier one"),
        (step_in_eval_mode, "in eval mode"),
        (stop_by_a_metric_that_is_not_there, "which no step has recorded"),
    ],
)
def test_a_warning_names_the_line_of_the_caller(tmp_path, door, message):
    with pytest.warns(UserWarning, match=message) as record:
        door(tmp_path)
    assert {warning.filename for warning in record if message in str(warning.message)} == {__file__}
