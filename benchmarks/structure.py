"""The structure of the package in numbers, before a rebuild and after: `python benchmarks/structure.py [COMMIT ...]`.

Of the working tree where no commit is named. All is read from the text, nothing is imported. How it is counted:

- circles: strongly connected groups of more than one file, over every import, those inside functions as well.
- against the arrows: files' imports from a room into one that is not below it, in the order of the layers in
  pyproject.toml. A commit without these layers is held against the order of LAYERS, its own names of the same rooms.
- places that know what a matmul contracts: files that name one of torch's products (`aten.mm`, `bmm`, `addmm`,
  `baddbmm`, `dot`, `mv`, `linear`, `einsum`) as an operation of a recording.
- places that know an optimizer's law: files that name two optimizers or more (`adamw`, `lion`, `muon`, ...) in texts
  that are not docstrings. The rules' words and the targets' classes count as well where they do.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (
    "testing", "cli", "expect", "sweep", "training transfer", "convert init", "audits", "settings", "answers", "audit",
    "fixes parametrizations", "report", "checkpoints analysis rules", "plan judge isolation", "scaling", "solve",
    "program", "trace capture", "targets target", "optimizers", "findings ops writing", "suggest visible locations",
    "errors",
)  # fmt: skip
"""Those of a commit that has none of its own, from the top."""
PRODUCTS = re.compile(r"\baten\.(?:mm|bmm|addmm|baddbmm|dot|mv|linear|einsum|matmul)\b|\"(?:mm|bmm|addmm|baddbmm)\"")
OPTIMIZERS = {
    "adam", "adamw", "nadam", "radam", "adamax", "adagrad", "rmsprop", "sgd", "lion", "lamb", "lars", "muon",
    "adafactor", "adadelta", "sophia", "shampoo", "rprop",
}  # fmt: skip

Files = Mapping[str, str]


def files_of(commit: str | None) -> dict[str, str]:
    """Text by module name."""
    if commit is None:
        listed = _git("ls-files", "muaudit").split()
        return {_module(name): (ROOT / name).read_text(encoding="utf-8") for name in listed if name.endswith(".py")}
    listed = _git("ls-tree", "-r", "--name-only", commit, "muaudit").split()
    return {_module(name): _git("show", f"{commit}:{name}") for name in listed if name.endswith(".py")}


def layers_of(commit: str | None) -> list[set[str]]:
    """Rooms from the top down."""
    text = (ROOT / "pyproject.toml").read_text() if commit is None else _git("show", f"{commit}:pyproject.toml")
    found = re.search(r"^layers = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    if found is None:
        return [set(layer.split()) for layer in LAYERS]
    return [set(row.strip().strip('",').replace("|", " ").split()) for row in found[1].splitlines()]


def imports(files: Files) -> dict[str, set[str]]:
    """By module, those it imports anywhere in its text; but for the package's own front, which loads by name."""
    return {name: set(_imported(name, text, files)) - {name, "muaudit"} for name, text in files.items()}


def _imported(module: str, text: str, files: Files) -> Iterator[str]:
    package = module.split(".")
    if not any(name.startswith(f"{module}.") for name in files):
        package = package[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{whole}.{alias.name}"
                yield from (name for name in (inner if inner in files else whole,) if name in files)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of files that reach one another."""
    reached = {name: _reached(name, graph) for name in graph}
    groups = {frozenset({name, *(o for o in reached[name] if name in reached[o])}) for name in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reached(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += graph[name]
    return seen


def against(graph: Mapping[str, set[str]], layers: list[set[str]]) -> dict[tuple[str, str], int]:
    """Imports from a room into one that is not below it, by rooms."""
    height = {room: -number for number, layer in enumerate(layers) for room in layer}
    found: dict[tuple[str, str], int] = defaultdict(int)
    for name, targets in graph.items():
        for target in targets:
            here, there = _room(name), _room(target)
            if here != there and {here, there} <= height.keys() and height[here] <= height[there]:
                found[here, there] += 1
    return found


def longest(files: Files, kinds: tuple[type[ast.AST], ...]) -> tuple[int, str]:
    """Lines of the longest class or function, and which it is."""
    return max(
        (node.end_lineno - node.lineno + 1, f"{module}.{node.name}")  # type: ignore[attr-defined]
        for module, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, kinds)
    )


def knows_optimizers(text: str) -> bool:
    """Whether two optimizers or more are named in texts that are not documentation."""
    tree = ast.parse(text)
    prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return len({str(n.value).lower() for n in texts if id(n) not in prose} & OPTIMIZERS) > 1


def report(commit: str | None) -> list[tuple[str, str]]:
    """The measures of one commit, each with its name."""
    files = files_of(commit)
    graph = imports(files)
    found = circles(graph)
    arrows = against(graph, layers_of(commit))
    products = [name for name, text in files.items() if PRODUCTS.search(text)]
    laws = [name for name, text in files.items() if knows_optimizers(text)]
    cls, function = longest(files, (ast.ClassDef,)), longest(files, (ast.FunctionDef, ast.AsyncFunctionDef))
    return [
        ("circles", f"{len(found)}" + (f" (of {', '.join(str(len(c)) for c in found)} files)" if found else "")),
        ("arrows between rooms against the layers", f"{len(arrows)} ({sum(arrows.values())} imports)"),
        ("files that know what a matmul contracts", str(len(products))),
        ("files that know an optimizer's law", str(len(laws))),
        ("lines of the package", str(sum(text.count("\n") for text in files.values()))),
        ("lines of its longest class", f"{cls[0]} ({cls[1]})"),
        ("lines of its longest function", f"{function[0]} ({function[1]})"),
    ]


def _git(*args: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=True).stdout


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def main() -> None:
    """Print a column a commit."""
    commits: list[str | None] = list(sys.argv[1:]) or [None]
    columns = [report(commit) for commit in commits]
    print("| | " + " | ".join(commit or "now" for commit in commits) + " |")
    print("|---" * (len(commits) + 1) + "|")
    for rows in zip(*columns, strict=True):
        print(f"| {rows[0][0]} | " + " | ".join(value for _, value in rows) + " |")


if __name__ == "__main__":
    main()
