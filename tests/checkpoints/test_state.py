"""Copies of the states of optimizers, schedulers and modules."""

from collections import Counter, OrderedDict

import torch

from infogan_lib.checkpoints.state import clone


def test_a_copy_shares_no_tensor_and_keeps_the_class_of_a_dict():
    moment = torch.zeros(2)
    state = OrderedDict(moments=(moment, [moment, {"of": moment}]), milestones=Counter({3: 2}))
    copied = clone(state)
    assert type(copied) is OrderedDict
    assert copied["milestones"] == Counter({3: 2})
    assert type(copied["milestones"]) is Counter
    moment += 1
    first, (second, third) = copied["moments"]
    assert not any(tensor.any() for tensor in (first, second, third["of"]))
