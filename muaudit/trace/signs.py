"""Parameters whose entries get signs at random before anything is summed: `sigma * epsilon` of layers with noise.

What their own mean is counts for nothing then: the products have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import fx

from .. import ops
from ..ops.moves import Moves
from ..ops.operation import Operation
from ..ops.products import Multiplies
from ..ops.sums import AddsProduct, Creates
from .align import Aligned
from .inits import Init


def with_signs(inits: Mapping[str, Init], aligned: Aligned) -> dict[str, Init]:
    """The inits, without a mean where every use of a parameter is a product with such a constant."""
    nodes = aligned.narrow.params
    return {
        name: replace(init, mean_significant=False)
        if init.mean_significant and name in nodes and _given_signs(nodes[name]) else init
        for name, init in inits.items()
    }  # fmt: skip


def _given_signs(node: fx.Node) -> bool:
    """Whether all that reads these entries multiplies them with noise. What asks for their shape reads none, and what
    compares them returns none."""
    readers = [user for user in node.users if not isinstance(_declared(user), Creates)]
    found = [_by_noise(user, node) for user in readers if user.meta.get("dtype") is not torch.bool]
    return bool(found) and all(found)


def _by_noise(user: fx.Node, node: fx.Node) -> bool:
    declared = _declared(user)
    if isinstance(declared, Moves):
        return _given_signs(user)
    if isinstance(declared, AddsProduct):
        factors = [each for each in user.args[1:3] if each is not node] if node is not user.args[0] else []
    else:
        factors = (
            [each for each in user.all_input_nodes if each is not node] if isinstance(declared, Multiplies) else []
        )
    shape = node.meta["shape"]
    return any(isinstance(each, fx.Node) and each.meta.get("balanced") and each.meta["shape"] == shape
               for each in factors)  # fmt: skip


def _declared(user: fx.Node) -> Operation | None:
    return ops.of(str(getattr(user.target, "overloadpacket", "")))
