"""Networks: the Q head and its taps, how user networks are called, and the paper's pair."""

from infogan_lib.networks.heads import QHead
from infogan_lib.networks.paper import paper_discriminator, paper_generator
from infogan_lib.networks.taps import Tap

__all__ = ["QHead", "Tap", "paper_discriminator", "paper_generator"]
