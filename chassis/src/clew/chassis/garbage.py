"""How often Python looks for garbage in cycles, in a process that holds many objects for as long as it lives."""

import gc
from typing import Final

THRESHOLDS: Final = (50_000, 20, 100)  # many live objects make the default collect far too often


def collect_seldom() -> None:
    """To be called once everything is loaded: what is there now is not looked at any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
