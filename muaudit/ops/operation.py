"""What every declaration of an operation is, and where all of them stand by name."""

from __future__ import annotations

from collections.abc import Mapping


class Operation:
    """What one operation does to sizes; a frozen dataclass for every way of doing so, in the files beside this one."""


class Declarations:
    """Every operation by its name: `mm` for `aten.mm`, `library.name` for one of another library's."""

    def __init__(self, *families: Mapping[str, Operation]) -> None:
        self.by_name: dict[str, Operation] = {}
        for family in families:
            for name, operation in family.items():
                self.declare(name, operation)

    def declare(self, name: str, operation: Operation) -> None:
        """Say what an operation is. Raises ValueError where that was said already."""
        if name in self.by_name:
            raise ValueError(f"the operation {name} is declared twice: {self.by_name[name]} and {operation}")
        self.by_name[name] = operation

    def of(self, name: str) -> Operation | None:
        """What an operation is, in place (`add_`) or not; None where nobody has said it."""
        name = name.removeprefix("aten.")
        found = self.by_name.get(name)
        return self.by_name.get(name[:-1]) if found is None and name.endswith("_") else found


def each(operation: Operation, *names: str) -> dict[str, Operation]:
    """Several operations that are one as far as sizes go."""
    return dict.fromkeys(names, operation)
