"""Hashes that stay the same on every machine and in every version."""

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def mixed(numbers: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele et al. 2014): every bit depends on every other."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
