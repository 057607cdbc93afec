"""Every framework that `--emit` writes for, beside json."""

from __future__ import annotations

from collections.abc import Mapping

from .automodel import AUTOMODEL
from .cerebras import CEREBRAS
from .deepspeed import DEEPSPEED
from .framework import Framework
from .megatron import MEGATRON
from .megatron_bridge import MEGATRON_BRIDGE
from .olmo_core import OLMO_CORE
from .torchtitan import TORCHTITAN
from .trainer import TRAINER

FRAMEWORKS: Mapping[str, Framework] = {
    "megatron": MEGATRON, "megatron-bridge": MEGATRON_BRIDGE, "torchtitan": TORCHTITAN, "automodel": AUTOMODEL,
    "olmo-core": OLMO_CORE, "trainer": TRAINER, "deepspeed": DEEPSPEED, "cerebras": CEREBRAS,
}  # fmt: skip
"""By the names that `--emit` takes."""
