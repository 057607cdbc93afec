"""`muaudit mcp`, driven by the protocol's own Python client over stdin and stdout."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from muaudit.cli import mcp as tools

FIXTURES = Path(__file__).parents[1] / "fixtures"


def served(ask: Callable[[Any], Awaitable[Any]], cwd: Path) -> Any:
    """What a session with the server answers."""
    mcp = pytest.importorskip("mcp")
    stdio = pytest.importorskip("mcp.client.stdio")

    async def session() -> Any:
        server = mcp.StdioServerParameters(
            command=sys.executable, args=["-m", "muaudit", "mcp"], cwd=str(cwd),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        async with stdio.stdio_client(server) as (read, write), mcp.ClientSession(read, write) as opened:
            await opened.initialize()
            return await ask(opened)

    return asyncio.run(session())


def text_of(result: Any) -> str:
    return "".join(part.text for part in result.content)


def is_error(result: Any) -> bool:
    return bool(getattr(result, "is_error", getattr(result, "isError", None)))


def test_an_agent_audits_reads_on_and_converts(tmp_path: Path) -> None:
    target = str(FIXTURES / "mlp/sp.py")

    async def ask(session: Any) -> Any:
        names = {tool.name for tool in (await session.list_tools()).tools}
        found = await session.call_tool("check", {"target": target})
        rule = await session.call_tool("explain", {"code": "MUP301"})
        steps = await session.call_tool("why", {"target": target, "name": "readout.weight"})
        plan = await session.call_tool("convert", {"target": target, "base_width": 64, "width": 256})
        wrong = await session.call_tool("check", {"target": "absent.py"})
        return names, found, rule, steps, plan, wrong

    names, found, rule, steps, plan, wrong = served(ask, tmp_path)
    assert names == {"check", "why", "explain", "convert"}
    assert '"MUP202"' in text_of(found)
    assert '"activations"' not in text_of(found)
    assert "hidden-lr" in text_of(rule)
    assert text_of(steps).startswith("readout.weight\n")
    assert "audited as converted: no errors" in text_of(plan)
    assert (tmp_path / "mup" / "plan.yaml").is_file()
    assert is_error(wrong)
    assert "no such file: absent.py" in text_of(wrong)


def test_what_an_agent_says_is_a_value_and_no_flag() -> None:
    with pytest.raises(ValueError, match="no such file: --debug"):
        tools.check("--debug")
    with pytest.raises(ValueError, match="profile"):
        tools.check(str(FIXTURES / "mlp/sp.py"), profile="--debug")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    monkeypatch.setitem(sys.modules, "mcp.server.fastmcp", None)
    from program import app

    with pytest.raises(SystemExit) as stop:
        app(["mcp"], prog_name="muaudit")
    assert stop.value.code == 2
