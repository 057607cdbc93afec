"""The package's structure, read from its text: where imports stand, and one word for one thing.

Layers and circles are contracts of import-linter in pyproject.toml, which `lint-imports` checks.
"""

from __future__ import annotations

import ast
import pickle
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from muaudit.cli.application import COMMANDS, application
from muaudit.thresholds import TABLE

ROOT = Path(__file__).parents[1]
HEAVY = frozenset({"torch", "matplotlib", "transformers", "ray", "numpy", "rich", "yaml", "pygraphviz"})
"""What takes long to import and is not needed by all: `muaudit --help` does without (test_imports.py)."""
OPTIONAL = frozenset({"safetensors", "sklearn", "pandas", "tomli", "tomllib", "fcntl", "tensorboard", "wandb", "mcp"})
"""What starts one of these (safetensors.torch), or is not there on every machine."""
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "muaudit").rglob("*.py"))
}
Import = tuple[str, bool, int]
"""What is imported, whether inside a function, and the line."""


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> tuple[Import, ...]:
    return tuple(_imports(module, tree(module), False))


def _imports(module: str, node: ast.AST, inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = absolute(module, child)
            for alias in child.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in FILES else base, inside, child.lineno
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue  # never run
        else:
            yield from _imports(module, child, inside or isinstance(child, (ast.FunctionDef, ast.Lambda)))


def absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".") if FILES[module].name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


@cache
def started(module: str) -> frozenset[str]:
    """The third parties of HEAVY that are imported with a module, by itself or by what it imports."""
    seen: set[str] = set()
    found: set[str] = set()
    ahead = [module]
    while ahead:
        parts = ahead.pop().split(".")
        for name in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
            if name in FILES and name not in seen:
                seen.add(name)
                outside = [imported for imported, inside, _ in imports(name) if not inside]
                found.update(imported.split(".")[0] for imported in outside)
                ahead += [imported for imported in outside if imported.startswith("muaudit")]
    return frozenset(found) & HEAVY


def test_imports_stand_at_the_top_but_for_what_is_heavy() -> None:
    """Inside a function: a heavy third party alone, and what of ours starts one that the module does without itself.

    In `testing` all of ours: every run of pytest imports its plugin where muaudit is installed.
    """
    wrong = []
    for module in FILES:
        for imported, inside, line in imports(module):
            first = imported.split(".")[0]
            own = first == "muaudit"
            waits = room(module) == "testing"
            fine = waits or started(imported) - started(module) if own else first in HEAVY | OPTIONAL
            if inside and not fine:
                wrong.append(f"{module}:{line} imports {imported}")
    assert not wrong


def test_no_file_reaches_itself_by_its_imports() -> None:
    reached = {module: {imported for imported, _, _ in imports(module)} & FILES.keys() for module in FILES}
    for _ in FILES:
        farther = {module: found.union(*(reached[each] for each in found)) for module, found in reached.items()}
        if farther == reached:
            break
        reached = farther
    assert [module for module, found in reached.items() if module in found] == []


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_no_private_name_is_used_across_rooms() -> None:
    wrong = []
    for module in FILES:
        modules: dict[str, str] = {}
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ImportFrom):
                base = absolute(module, node)
                for alias in node.names:
                    whole = f"{base}.{alias.name}"
                    modules |= {alias.asname or alias.name: whole} if whole in FILES else {}
                    private = any(is_private(part) for part in whole.split("."))
                    if base.startswith("muaudit") and private and room(whole) != room(module):
                        wrong.append(f"{module}:{node.lineno} imports {whole}")
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and is_private(node.attr):
                whole = modules.get(node.value.id, "")
                if whole and room(whole) != room(module):
                    wrong.append(f"{module}:{node.lineno} uses {whole}.{node.attr}")
    assert not wrong


def test_a_public_class_has_a_name_of_its_own() -> None:
    """But for a kind of value and the operation that makes it."""
    homes: dict[str, list[str]] = defaultdict(list)
    for module, path in FILES.items():
        for node in tree(module).body if path.parent.name != "kinds" else ():
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_a_file_has_a_name_of_its_own() -> None:
    """Two files or rooms of one name would be two things by one word.

    Fine are `__init__` and `__main__`; a command of the command line beside what does its work (`cli/sweep.py`,
    `sweep/`); a file that is what its room is named for (`plan/plan.py`); the lowering of operations beside what these
    are, file by file (`program/lowering/sums.py`, `ops/sums.py`); and a kind of value, which goes by the name of what
    makes it (`program/kinds/power.py`).
    """
    homes: dict[str, list[str]] = defaultdict(list)
    for module, path in FILES.items():
        command = room(module) == "cli" and path.stem.replace("_", "-") in COMMANDS
        named_for_its_room = path.stem == path.parent.name or path.parent.name in ("lowering", "kinds")
        if not (command or path.stem.startswith("__") or named_for_its_room):
            homes[path.stem].append(module)
    for folder in {path.parent for path in FILES.values()}:
        homes[folder.name].append(f"{folder.relative_to(ROOT)}/")
    assert not {name for name, where in homes.items() if len(where) > 1}


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """The program's help is written down apart from the commands, whose modules it does not import."""
    own = {
        command.name: (command.callback.__doc__ or "").split(". ")[0].split("\n")[0].rstrip(".")
        for command in application().registered_commands
        if command.callback is not None
    }
    assert own == {name: sentence.rstrip(".") for name, sentence in COMMANDS.items()}


def test_every_threshold_says_what_it_decides_and_is_used() -> None:
    used = {
        alias.name
        for module in FILES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ImportFrom) and absolute(module, node) == "muaudit.thresholds"
        for alias in node.names
    }
    assert used - {"TABLE"} == TABLE.keys()
    assert all(value.decides and value.source for value in TABLE.values())
    assert pickle.loads(pickle.dumps(TABLE)) == TABLE


def test_the_table_of_thresholds_in_the_docs_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    for name, value in TABLE.items():
        assert f"| `{name}` | {value:g} | {value.decides} | {value.source} |" in page
