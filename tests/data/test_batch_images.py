"""Batches as dicts, arrays and pictures, with parts of no use, and the refusals of images that do not fit."""

import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from infogan_lib import InfoGANTrainer
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

IMAGES = images(16)
BYTES = (IMAGES * 127 + 127).to(torch.uint8)


class Items(Dataset):
    """A data set of 16 items, each made of an image and its index."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return self.make(IMAGES[index], index)


def losses_on(data, **settings):
    trainer = make_trainer()
    trainer.fit(data, **({"epochs": 2, "batch_size": 8} | settings))
    return trainer.history["loss/d"].tolist()


def picture(image, mode="L"):
    image_module = pytest.importorskip("PIL.Image")
    return image_module.fromarray(((image[0].numpy() + 1) * 127).astype(np.uint8)).convert(mode)


ITEMS = {
    "a dict": lambda image, index: {"pixel_values": image, "label": index, "text": "seven", "embedding": torch.ones(9)},
    "an array": lambda image, index: image.numpy(),
    "None beside the image": lambda image, index: (image, None),
    "boxes of different number": lambda image, index: {"image": image, "boxes": torch.zeros(index, 4)},
    "an object": lambda image, index: (image, object()),
}


@pytest.mark.parametrize("make", ITEMS.values(), ids=ITEMS)
def test_a_data_set_may_have_items_of_many_kinds(make):
    assert losses_on(Items(make)) == losses_on(TensorDataset(IMAGES))


class Shuffled(IterableDataset):
    """The items of a data set, one after the other."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return (self.items[index] for index in range(len(self.items)))


def test_an_iterable_data_set_may_have_items_of_many_kinds():
    for make in (lambda image, i: (image, None), lambda image, i: {"image": picture(image), "label": i}):
        make_trainer().fit(Shuffled(Items(make)), steps=2, batch_size=8)


def test_workers_may_make_items_of_many_kinds():
    assert losses_on(Items(ITEMS["boxes of different number"]), num_workers=1) == losses_on(TensorDataset(IMAGES))


BATCHES = {
    "dicts": lambda batch: {"image": batch, "label": torch.zeros(8, 2, dtype=torch.long)},
    "dicts with None": lambda batch: {"image": batch, "caption": None},
    "arrays": lambda batch: batch.numpy(),
    "tuples of arrays": lambda batch: (batch.numpy(), np.zeros(8)),
    "tuples with None": lambda batch: (batch, None),
}


@pytest.mark.parametrize("make", BATCHES.values(), ids=BATCHES)
def test_batches_may_be_of_many_kinds(make):
    batches = list(IMAGES.split(8))
    expected = losses_on(batches)
    assert losses_on([make(batch) for batch in batches]) == expected
    own_loop = make_trainer()
    assert own_loop.step(make(batches[0]))["loss/d"] == expected[0]


def test_a_loader_may_give_dicts():
    loader = DataLoader(Items(ITEMS["a dict"]), 8)
    assert losses_on(loader) == losses_on(DataLoader(TensorDataset(IMAGES), 8))


def test_the_images_among_several_are_named():
    two = Items(lambda image, index: {"a": image.flip(0, 1), "b": image})
    with pytest.raises(TypeError, match="several tensors that may be images .*'a': .*'b': .*image_key="):
        losses_on(two)
    assert losses_on(two, image_key="b") == losses_on(TensorDataset(IMAGES))
    with pytest.raises(TypeError, match="image_key='c' is not in the batches, which have 'a' and 'b'"):
        losses_on(two, image_key="c")
    with pytest.raises(TypeError, match="image_key='a' is for batches that are dicts, but a batch is a list"):
        losses_on(TensorDataset(IMAGES), image_key="a")
    with pytest.raises(ValueError, match="image_key='a' would do nothing"):
        losses_on(IMAGES, image_key="a")
    with pytest.raises(TypeError, match="no tensor that may be images .*'label': .*'text': list"):
        losses_on(Items(lambda image, index: {"label": index, "text": "seven"}))


@pytest.mark.parametrize("data", [IMAGES.numpy(), IMAGES.numpy()[:, :, ::-1][:, :, ::-1], BYTES.numpy()])
def test_an_array_is_as_good_as_a_tensor(data):
    assert losses_on(data) == losses_on(BYTES if data.dtype == np.uint8 else IMAGES)


def test_an_array_that_cannot_be_written_to_gives_no_warning(recwarn):
    data = IMAGES.numpy().copy()
    data.flags.writeable = False
    losses_on(data)
    assert not recwarn


def test_an_array_of_objects_is_refused():
    with pytest.raises(TypeError, match="an array of data must hold numbers .*object"):
        losses_on(np.array([object()] * 16))


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_pictures_may_be_items_and_lists(mode):
    channels = {"L": 1, "RGBA": 4}.get(mode, 3)
    expected = BYTES.expand(-1, channels, -1, -1).clone()
    if channels == 4:
        expected[:, 3] = 255

    def run(data):
        torch.manual_seed(0)
        shape = (channels, 4, 4)
        trainer = make_trainer(dense_generator(shape=shape), dense_discriminator(shape))
        trainer.fit(data, epochs=1, batch_size=8)
        return trainer.history["loss/d"].tolist()

    pictures = [picture((image.float() - 127) / 127, mode) for image in BYTES[:, None, 0]]
    exact = torch.stack([torch.from_numpy(np.array(p.convert("RGB" if mode == "P" else mode))) for p in pictures])
    exact = exact.reshape(16, 4, 4, channels).permute(0, 3, 1, 2)
    assert run(pictures) == run(TensorDataset(exact))
    assert run([(one, 3) for one in pictures]) == run([{"image": one} for one in pictures]) == run(pictures)


def test_pictures_of_other_color_spaces_are_converted():
    red = picture(IMAGES[0], "RGB").convert("CMYK")
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4\), but the data has \(3, 4, 4\)"):
        losses_on([red] * 16)


SHAPES = {
    "channels last": (images(16, (4, 4, 1)), r"channels come last, and images.permute\(0, 3, 1, 2\)"),
    "one image": (images(1)[0], r"one image: images.unsqueeze\(0\)"),
    "one image, channels last": (images(1, (4, 4, 1))[0], r"permute\(2, 0, 1\).unsqueeze\(0\)"),
    "no channel": (images(16, (4, 4)), r"images.unsqueeze\(1\)"),
    "a list of images": (list(images(16)), r"torch.stack\(images\)"),
    "items with channels last": (TensorDataset(images(16, (4, 4, 1))), r"permute\(0, 3, 1, 2\)"),
    "fewer images than a batch, of another size": (images(3, (1, 5, 5)), r"has \(1, 5, 5\)"),
}


@pytest.mark.parametrize(("data", "message"), SHAPES.values(), ids=SHAPES)
def test_a_wrong_shape_is_refused_with_what_to_change(data, message):
    with pytest.raises(ValueError, match=message):
        losses_on(data)
    if isinstance(data, torch.Tensor) and len(data) != 3:
        with pytest.raises(ValueError, match=message):
            make_trainer().model.encode(data)


@pytest.mark.parametrize(
    ("shape", "given", "remedy"),
    [
        ((1, 4, 4), images(16, (16,)), r"images.reshape\(-1, 1, 4, 4\)"),
        ((16,), images(16, (1, 4, 4)), r"images.reshape\(-1, 16\)"),
        ((1, 4, 4), images(16, (1, 8, 6)), r"interpolate\(images, \(4, 4\), mode='bilinear'\)"),
        ((1, 4, 4), images(16, (3, 4, 4)), r"images.float\(\).mean\(1, keepdim=True\).to\(images.dtype\)"),
        ((3, 4, 4), images(16, (1, 4, 4)), r"images.expand\(-1, 3, -1, -1\)"),
        ((3, 4, 4), images(16, (4, 4, 4)), r"images\[:, :3\]"),
        ((1, 4, 4), images(16, (4, 4, 4)), r"images\[:, :3\].float\(\).mean\(1, keepdim=True\)"),
        ((1, 4, 4), images(16, (2, 4, 4)), r"images\[:, :1\] gives"),
        ((3, 4, 4), images(16, (2, 4, 4)), r"images\[:, :1\].expand\(-1, 3, -1, -1\)"),
    ],
)
def test_the_change_is_named_that_gives_images_their_shape(shape, given, remedy):
    trainer = InfoGANTrainer(dense_generator(shape=shape), dense_discriminator(shape), LATENT)
    for use in (lambda: trainer.fit(given, epochs=1, batch_size=8), lambda: trainer.model.encode(given)):
        with pytest.raises(ValueError, match=remedy) as refusal:
            use()
    change = str(refusal.value).partition("; ")[2].removeprefix("resize them, as ").removesuffix(" does")
    fitting = eval(change.partition(" gives")[0], {"images": given, "torch": torch})
    trainer.model.encode(fitting)


def test_images_of_zeros_and_ones_in_bytes_are_warned_of():
    trainer = make_trainer()
    black_and_white = (images(16) > 0).to(torch.uint8)
    for use in (lambda x: trainer.fit(x, epochs=1, batch_size=8), trainer.model.encode):
        with pytest.warns(UserWarning, match=r"hold 0 and 1 only.* use images \* 255"):
            use(black_and_white)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            use(255 * black_and_white)
            use(0 * black_and_white)
    with pytest.raises(TypeError, match=r"convert black and white with images.to\(torch.uint8\) \* 255"):
        losses_on(images(16) > 0)


def test_channels_last_are_seen_in_color_and_in_sound():
    trainer = InfoGANTrainer(dense_generator(shape=(2, 8)), dense_discriminator((2, 8)), LATENT)
    with pytest.raises(ValueError, match=r"images.permute\(0, 2, 1\) puts them first"):
        trainer.fit(images(16, (8, 2)), epochs=1, batch_size=8)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.int16, torch.int32])
@pytest.mark.parametrize("make", [lambda data: data, TensorDataset, lambda data: data.numpy()])
def test_images_of_16_bits_are_refused_with_their_scale(dtype, make):
    with pytest.raises(TypeError, match=r"16 bits, such as images.float\(\) / 65535 \* 2 - 1"):
        losses_on(make(torch.zeros(16, 1, 4, 4, dtype=dtype)))


def test_whole_numbers_are_refused_with_the_conversion():
    with pytest.raises(TypeError, match=r"convert whole numbers from 0 to 255 with images.to\(torch.uint8\)"):
        losses_on(torch.zeros(16, 1, 4, 4, dtype=torch.int64))


def test_images_of_several_shapes_in_a_batch_are_refused_with_both():
    ragged = Items(lambda image, index: (image[:, : 4 - index % 2], index))
    with pytest.raises(TypeError, match=r"must have one shape, but got \(1, \d, 4\) and \(1, \d, 4\); resize them"):
        losses_on(ragged)


def test_pictures_of_several_modes_in_a_batch_are_refused_with_the_conversion():
    items = [picture(image, mode) for image in IMAGES for mode in ("L", "RGB")]
    with pytest.raises(TypeError, match=r"got .* and .*; convert them to as many channels"):
        make_trainer().fit(items, steps=1, batch_size=32)


def test_items_that_are_no_images_are_refused():
    with pytest.raises(TypeError, match="the items of data must be images, .* None"):
        losses_on(Items(lambda image, index: None))


def test_a_path_is_refused_with_the_data_set_for_it(tmp_path):
    for path in (tmp_path, str(tmp_path)):
        with pytest.raises(TypeError, match=r"ImageFolder\(folder, size=...\)"):
            losses_on(path)
