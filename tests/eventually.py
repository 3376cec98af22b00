"""Waits for what happens soon, instead of for a fixed time that a busy machine would miss."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

# Seconds within which a cancel must have reached the node: 0.2 are promised, the rest is for a machine that does other
# things too.
AT_ONCE = 1.0


async def eventually(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something holds; fails if it does not in time."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen"
        await asyncio.sleep(0.002)
