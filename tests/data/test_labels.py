"""Labels of real images: how they are read, and which images are drawn for theirs."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from infogan_lib.data.labels import LabelReader
from infogan_lib.data.sources import make_source

X = torch.arange(40.0)[:, None].expand(40, 2)  # each image holds its number
FEW = torch.full((40,), -1)
FEW[[3, 11, 30]] = torch.tensor([2, 0, 1])


class Targets(Dataset):
    """Its labels are in an attribute, as those of torchvision's data sets."""

    def __init__(self):
        self.targets = FEW.tolist()

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return X[index], self.targets[index]


def batches(data, epoch=0, start=None, seed=0, **sizes):
    read = LabelReader(sizes or {"digit": 4})
    settings = {"batch_size": 8, "num_workers": 0, "seed": seed, "device": torch.device("cpu")}
    return list(make_source(data, **settings, read=read).epoch(epoch, start))


KNOWN = {
    "tuple": (X, FEW),
    "TensorDataset": TensorDataset(X, FEW),
    "targets": Targets(),
    "Subset": Subset(TensorDataset(X.flip(0), FEW.flip(0)), range(39, -1, -1)),
}


@pytest.mark.parametrize("data", KNOWN.values(), ids=KNOWN)
def test_labeled_images_are_drawn_beside_each_batch(data):
    found = batches(data)
    assert sorted(torch.cat([batch.images for batch in found])[:, 0].tolist()) == list(range(40))
    for batch in found:
        assert batch.labeled_images is not None
        drawn = batch.labeled_images[:, 0].long()
        assert torch.equal(batch.labels[:, 0], FEW[drawn])
        counts = drawn.bincount(minlength=40)[[3, 11, 30]]
        assert counts.sum() == 8
        assert counts.max() - counts.min() <= 1
    # Any batch of any epoch is made alone, and each of them is another draw.
    (last,) = batches(data, start=4)
    assert all(torch.equal(a, b) for a, b in zip(last.tensors, found[-1].tensors, strict=True))
    drawn = {tuple(batch.labels[:, 0].tolist()) for batch in [*found, *batches(data, epoch=1), *batches(data, seed=1)]}
    assert len(drawn) > 10


@pytest.mark.parametrize("data", [(X, FEW.clamp(min=0)), TensorDataset(X, FEW.clamp(min=0))], ids=["tuple", "Dataset"])
def test_no_image_is_drawn_where_all_have_labels(data):
    for batch in batches(data):
        assert batch.labeled_images is None
        assert torch.equal(batch.labels[:, 0], FEW.clamp(min=0)[batch.images[:, 0].long()])


def test_a_loader_has_the_labels_of_its_batches():
    loader = DataLoader(TensorDataset(X, FEW), 8)
    for data in (loader, list(loader), iter(list(loader))):
        for i, batch in enumerate(batches(data)):
            assert batch.labeled_images is None
            assert torch.equal(batch.labels[:, 0], FEW[8 * i : 8 * i + 8])


def test_a_column_for_each_label_code():
    labels = torch.stack([FEW, FEW.flip(0)], 1)
    for batch in batches((X, labels), digit=4, shape=3):
        drawn = batch.labeled_images[:, 0].long()
        assert torch.equal(batch.labels, labels[drawn])
        assert set(drawn.tolist()) == {3, 11, 30, 36, 28, 9}


REFUSED = [
    (X, TypeError, r"label code 'digit', so a batch must be \(images, labels\).*got a Tensor.*use Categorical"),
    (TensorDataset(X), TypeError, r"must be \(images, labels\)"),
    ([X[:8], X[8:16]], TypeError, r"must be \(images, labels\)"),
    ((X, FEW.float()), TypeError, r"integers, -1 where one is unknown, but got torch.float32; use labels.long\(\)"),
    ((X, FEW.tolist()), TypeError, "labels must be a Tensor of integers, but got"),
    ((X, FEW[:39]), ValueError, r"labels of 40 images must have shape \(40,\) .*'digit', but got \(39,\)"),
    ((X, FEW[:39]), ValueError, r"but got \(39,\)$"),
    ([(X[:2], [3, None])], TypeError, "give -1 in place of None where a label is unknown"),
    ((X, FEW[:, None].expand(40, 2)), ValueError, r"must have shape \(40,\)"),
    ((X, FEW * 2), ValueError, "'digit' must be from 0 to 3, or -1 where one is unknown, but got some from -2 to 4"),
    (TensorDataset(X, FEW + 3), ValueError, "got some from 2 to 5; number the labels from 0"),
    ((X, FEW.clamp(max=-1)), ValueError, "no image has a label of 'digit': all 40 are -1.*use Categorical"),
    (Subset(TensorDataset(X, FEW), range(12, 29)), ValueError, "no image has a label of 'digit': all 17 are -1"),
    ((X, FEW.to(torch.uint16)), ValueError, "got some from 0 to 65535"),
    ([(X[:8], FEW[:8] + 9)], ValueError, "got some from 8 to 11"),
    ((X, FEW[:, None].expand(40, 4)), ValueError, r"labels.argmax\(1\) makes numbers of one-hot rows"),
    (
        [(X[0], 3), (X[1], -1)],
        TypeError,
        r"integers, but got 3 \(int\); make batches of a list of items with a DataLoader",
    ),
    (
        [{"x": X[:8], "a": FEW[:8], "b": FEW[:8]}],
        TypeError,
        r"got 'x': a Tensor of shape \(8, .*'b': a Tensor of shape",
    ),
]


def test_labels_of_several_codes_are_put_side_by_side():
    with pytest.raises(ValueError, match=r"must have shape \(40, 2\) .*torch.stack\(\[digit, shape\], 1\)"):
        batches((X, FEW), digit=4, shape=3)


@pytest.mark.parametrize(("data", "error", "message"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_labels_that_cannot_be_used_are_refused_before_the_first_step(data, error, message):
    with pytest.raises(error, match=message):
        batches(data)
