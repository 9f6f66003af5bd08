"""Which of several processes this is, where a training runs on several devices."""

from __future__ import annotations

import sys
from typing import Any


def is_first_rank() -> bool:
    """Whether this process is the one that writes files; true where there is no other."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available():
        return True
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
