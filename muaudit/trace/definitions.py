"""Where in the user's code each parameter is made, noted while the model is built."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn

from .frames import caller, maker

Place = tuple[str | None, int | None]


class definitions:
    """A context, to be entered as often as models are built: every parameter is noted with the user's line.

    That is where a module first takes it on. A parameter that is shared keeps the line it was made on first.
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[nn.Parameter, Place]] = {}

    def __enter__(self) -> definitions:
        self._register = register = nn.Module.register_parameter
        stop = sys._getframe(1)

        def noted(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
            register(module, name, param)
            if param is not None and id(param) not in self._places:
                self._places[id(param)] = param, caller(stop)

        nn.Module.register_parameter = noted  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *exc: Any) -> None:
        nn.Module.register_parameter = self._register  # type: ignore[method-assign]

    def of(self, model: nn.Module) -> dict[str, Place]:
        """(file, line) by parameter name; a parameter that was made elsewhere is left out."""
        named = model.named_parameters(remove_duplicate=False)
        return {name: self._places[id(param)][1] for name, param in named if id(param) in self._places}


class optimizers_made:
    """A context in which optimizers are made: `place` is the user's line that made the first of them, if one did."""

    def __init__(self) -> None:
        self.place: Place = (None, None)

    def __enter__(self) -> optimizers_made:
        self._init = init = torch.optim.Optimizer.__init__
        stop = sys._getframe(1)

        def noted(optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:
            if self.place[0] is None:
                self.place = maker(optimizer, stop)
            init(optimizer, *args, **kwargs)

        torch.optim.Optimizer.__init__ = noted  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *exc: Any) -> None:
        torch.optim.Optimizer.__init__ = self._init  # type: ignore[method-assign]
