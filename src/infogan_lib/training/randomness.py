"""Named random streams: each use of randomness has a generator of its own, seeded from one number.

Drawing more latents then changes no data order, and torch's global generator is neither read nor seeded.
"""

import hashlib

import torch


def derived_seed(seed: int, *names: object) -> int:
    """A 63-bit seed for a named purpose: the same on every machine, unrelated between names."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class RandomStreams:
    """Generators by name, made when first asked for.

    Args:
        seed: the number that all of them derive from.
        device: where their draws are made.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self.device = device
        self._streams: dict[str, torch.Generator] = {}

    def __getitem__(self, name: str) -> torch.Generator:
        if name not in self._streams:
            self._streams[name] = torch.Generator(self.device).manual_seed(derived_seed(self.seed, name))
        return self._streams[name]
