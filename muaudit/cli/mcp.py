"""`muaudit mcp`: the commands as tools of a Model Context Protocol server, for coding agents that review µP changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from muaudit.cli.guard import COULD_NOT, guarded
from muaudit.errors import UserError

_LEFT_OUT = ("tensors", "activations", "answered")
"""Of a report: long, and asked for one name at a time by `why`."""


@guarded
def mcp() -> int:
    """Serve check, why, explain and convert to coding agents. It speaks the Model Context Protocol on stdio."""
    make, failure = _protocol()
    server = make("muaudit")
    for tool in (check, why, explain, convert):
        server.tool()(_told(tool, failure))
    server.run()
    return 0


def _protocol() -> tuple[Callable[[str], Any], type[Exception]]:
    """The class of servers and of failures that are told, which have other names in mcp 1. Raises UserError."""
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError:
        try:
            from mcp.server.fastmcp import FastMCP
            from mcp.server.fastmcp.exceptions import ToolError
        except ImportError as error:
            raise UserError("muaudit mcp needs the package mcp", "pip install 'muaudit[mcp]'") from error
        return FastMCP, ToolError
    return MCPServer, ToolError


def _told(tool: Callable[..., Any], failure: type[Exception]) -> Callable[..., Any]:
    """The tool, whose failures the agent is told as they are."""

    @wraps(tool)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool(*args, **kwargs)
        except ValueError as error:
            raise failure(str(error)) from error

    return run


def check(
    target: str,
    axis: str = "width",
    width: list[str] | None = None,
    set: list[str] | None = None,
    optimizer: str = "",
    profile: str = "",
    plan: str = "",
) -> dict[str, Any]:
    """Audit the µP parametrization of a PyTorch model: do hyperparameters tuned at a small width hold at a large one?

    Nothing is trained. Every finding has its file and line, what was found and expected as powers of the width, what
    happens, and the fix. target: file.py, file.py:Name, package.module:Name, or the folder of a Hugging Face
    config.json. axis: width or depth. width: probe widths, such as n_embd=64,128. set: constructor arguments as
    NAME=VALUE. plan: a plan.yaml, by which the model is judged as converted.
    """
    done = _run(["check", *_flags(axis=axis, width=width, set=set, optimizer=optimizer, profile=profile, plan=plan),
                 "--format=json", "--", target])  # fmt: skip
    report: dict[str, Any] = json.loads(done)
    return {name: value for name, value in report.items() if name not in _LEFT_OUT}


def why(target: str, name: str, axis: str = "width", set: list[str] | None = None) -> str:
    """How one tensor or activation comes by its exponents: every step with its line, its rule and its source.

    name: as the findings of `check` call it, or a pattern such as *.mlp.up.weight.
    """
    return _run(["check", *_flags(axis=axis, set=set, why=name), "--", target])


def explain(code: str) -> str:
    """A rule in full: what it looks for, why that is bad, example, fix, evidence, when it is fine. code: as MUP301."""
    return _run(["explain", "--", code])


def convert(
    target: str, base_width: int, width: int | None = None, out: str = "mup", set: list[str] | None = None
) -> str:
    """Plan how a model becomes µP without a change of its code, and write the plan to `out`/plan.yaml.

    base_width: the width that hyperparameters are tuned at. width: the one to train at (default: the model's own).
    Answers with the scale of every tensor, the audit of the model as converted, and the lines to paste.
    """
    sizes = _flags(base_width=str(base_width), width="" if width is None else str(width), out=out, set=set)
    return _run(["convert", *sizes, "--no-state-dict", "--", target])


def _flags(**given: str | list[str] | None) -> Iterator[str]:
    """`--base-width=64`; one for every entry of a list, none for what is empty. A value is never taken for a flag."""
    for name, value in given.items():
        for each in [value] if isinstance(value, str) else value or []:
            if each:
                yield f"--{name.replace('_', '-')}={each}"


def _run(arguments: list[str]) -> str:
    """What the command prints; a process of its own, so that nothing of the target's runs in the server.

    Raises:
        ValueError: the command could not do the job; with what it says.
    """
    command = [sys.executable, "-m", "muaudit", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode not in (0, 1) or (done.returncode == 1 and not done.stdout):
        raise ValueError(done.stderr.strip() or f"muaudit exited {done.returncode}, expected 0, 1 or {COULD_NOT}")
    return done.stdout
