"""How often Python looks for garbage in cycles, in a process that holds many objects for as long as it lives."""

import gc
from typing import Final

YOUNG: Final = 50_000  # objects made and not freed before it looks; by default far too few
YOUNG_OF_BATCHES: Final = 200_000  # thousands of records in hand are more, and are freed without it


def collect_seldom(young: int = YOUNG) -> None:
    """To be called once everything is loaded: what is there now is not looked at any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, 20, 100)
