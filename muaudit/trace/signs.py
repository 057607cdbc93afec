"""Parameters whose entries get signs at random before anything is summed: `sigma * epsilon` of layers with noise.

What their own mean is counts for nothing then: the products have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import fx

from .. import ops
from ..ops.products import Multiplies
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
    return bool(node.users) and all(_by_noise(user, node) for user in node.users)


def _by_noise(user: fx.Node, node: fx.Node) -> bool:
    others = [each for each in user.all_input_nodes if each is not node]
    shape = node.meta["shape"]
    same = [each for each in others if each.meta.get("balanced") and each.meta["shape"] == shape]
    return isinstance(ops.of(str(getattr(user.target, "overloadpacket", ""))), Multiplies) and bool(same)
