"""The forward pass as a graph: what reads what, read off the code by hand, and a picture without crossings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bugs.plant import FIXTURES
from hypothesis import given, settings
from hypothesis import strategies as st
from models.driving import write
from test_html_report import report_of

from muaudit.audit import audit
from muaudit.findings.model import ActivationRow, FlowPlace, Report, TensorRow, Violation
from muaudit.report.flow_graph import Edge, Graph, ModuleFrame, Node, flow_graph
from muaudit.report.html import audit_section
from muaudit.targets import resolve


def reads(path: Path) -> dict[str, set[str]]:
    return reads_of(audit(resolve(str(path))))


def reads_of(report: Report) -> dict[str, set[str]]:
    return {place.name: set(place.reads) for place in report.flow}


def test_a_transformer_with_a_residual_stream() -> None:
    """By hand from fixtures/gpt/sp.py: x = wte(idx) + wpe(pos); x = x + attn(ln_1(x)); x = x + mlp(ln_2(x))."""
    block = "transformer.h.*"
    report = audit(resolve(str(FIXTURES / "gpt" / "sp.py")))
    assert [each.modules for each in report.violations if each.rule == "MUP201"] == [
        ("transformer.h.0.attn", "transformer.h.1.attn")
    ]
    assert reads_of(report) == {
        "(input)": set(),
        "transformer.wte": {"(input)"},
        "transformer.wpe": set(),  # of positions, which no input decides
        ":0": {"transformer.wte", "transformer.wpe"},
        f"{block}.ln_1": {":0"},
        f"{block}.attn.c_attn": {f"{block}.ln_1"},
        f"{block}.attn.c_proj": {f"{block}.attn.c_attn"},  # queries, keys and values are parts of one value
        f"{block}:0": {":0", f"{block}.attn.c_proj"},
        f"{block}.ln_2": {f"{block}:0"},
        f"{block}.mlp.c_fc": {f"{block}.ln_2"},
        f"{block}.mlp.gelu": {f"{block}.mlp.c_fc"},
        f"{block}.mlp.c_proj": {f"{block}.mlp.gelu"},
        f"{block}:1": {f"{block}:0", f"{block}.mlp.c_proj"},
        "transformer.ln_f": {f"{block}:1"},
        "lm_head": {"transformer.ln_f"},
        "(output)": {"lm_head"},
    }


MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.first = nn.Linear(8, width)
        self.net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.tables = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.bias, self.last = nn.Embedding(4, width), nn.Linear(width, 3)

    def forward(self, x):
        x = self.net(self.first(x).relu())
        for gate, table in zip(self.gates, self.tables):
            x = table(x) * gate(x).sigmoid()
        moved = self.bias(torch.arange(4)).sum(0).tanh() / 4
        return self.last(torch.cat([x, x + moved]))
"""


def test_what_differs_is_not_folded_and_a_value_of_weights_alone_arrives(tmp_path: Path) -> None:
    found = reads(write(tmp_path, MODEL))
    assert found == {
        "(input)": set(),
        "first": {"(input)"},
        "net.0": {"first"},
        "net.1": {"net.0"},
        "net.2": {"net.1"},
        "net.3": {"net.2"},
        "tables.*": {"net.3", ":0", ":1"},
        "gates.*": {"net.3", ":0", ":1"},
        ":0": {"tables.*", "gates.*"},
        ":1": {"tables.*", "gates.*"},
        ":2": {"tables.*", "gates.*"},
        "bias": set(),
        ":3": {"bias", ":2"},
        ":4": {":3", ":2"},
        "last": {":4"},
        "(output)": {"last"},
    }
    labels = {place.label for place in audit(resolve(str(write(tmp_path, MODEL)))).flow}
    assert {"×", "+", "concatenate"} <= labels


NAMES = ("a", "b", "c.d", "c.e", "c.f.g", "c.f.h", "h.*.i", "h.*.j", "h.*", "k")


@st.composite
def flows(draw: st.DrawFn) -> list[FlowPlace]:
    """Any graph without circles over modules that hold modules, with operations in them that join what they read."""
    taken = [name for name in draw(st.permutations(NAMES)) if name != "h.*"]
    found: list[FlowPlace] = []
    for number, name in enumerate(taken[: draw(st.integers(2, len(taken)))]):
        shown = name if draw(st.booleans()) else f"{name.rpartition('.')[0]}:{number}"
        before = [each.name for each in found]
        sources = tuple(draw(st.lists(st.sampled_from(before), unique=True, max_size=4)) if before else ())
        label = "+" if ":" in shown else ""
        found.append(FlowPlace(shown, label, sources, 0.0, 0.0, 0.0, 0.0))
    return found


def drawn(flow: list[FlowPlace]) -> Graph:
    rows = [ActivationRow(m, m, True, None, None, 0.0, 0.0, 0.0, 0.0) for m in ("c", "c.f", "h.0", "h.1", "a", "b")]
    graph = flow_graph(report_of(flow=tuple(flow), activations=tuple(rows)))
    assert graph is not None
    return graph


@settings(max_examples=150, deadline=None)
@given(flows())
def test_nothing_overlaps_and_no_edge_runs_through_a_node(flow: list[FlowPlace]) -> None:
    graph = drawn(flow)
    assert len(graph.nodes) == len(flow)
    assert len(graph.lines) == sum(len(place.reads) for place in flow)
    for number, node in enumerate(graph.nodes):
        assert 0 <= node.x <= node.x + node.wide <= graph.wide
        assert 0 <= node.y <= node.y + node.high <= graph.high
        assert not [other.title for other in graph.nodes[number + 1 :] if _overlap(node, other)], node.title
    for number, frame in enumerate(graph.frames):
        for other in graph.frames[number + 1 :]:
            assert not _overlap(frame, other) or _inside(frame, other), (
                "frames are beside one another, or one in the other"
            )
        for node in graph.nodes:
            assert not _overlap(frame, node) or _inside(frame, node), "nodes are in a frame or outside"
    for line in graph.lines:
        for x, y in _along(line):
            assert 0 <= x <= graph.wide
            assert 0 <= y <= graph.high
            assert not [
                n.title for n in graph.nodes if n.x + 1 < x < n.x + n.wide - 1 and n.y + 1 < y < n.y + n.high - 1
            ]


def _overlap(one: Node | ModuleFrame, other: Node | ModuleFrame) -> bool:
    return (one.x + 0.5 < other.x + other.wide and other.x + 0.5 < one.x + one.wide
            and one.y + 0.5 < other.y + other.high and other.y + 0.5 < one.y + one.high)  # fmt: skip


def _inside(frame: ModuleFrame, part: Node | ModuleFrame) -> bool:
    return (frame.x <= part.x and part.x + part.wide <= frame.x + frame.wide
            and frame.y <= part.y and part.y + part.high <= frame.y + frame.high)  # fmt: skip


def _along(line: Edge, steps: int = 12) -> Iterator[tuple[float, float]]:
    """Points of its curves, by the definition of a cubic Bézier curve."""
    for start in range(0, len(line.points) - 1, 3):
        four = line.points[start : start + 4]
        for t in (step / steps for step in range(steps + 1)):
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
            yield (
                sum(w * x for w, (x, _) in zip(weights, four, strict=True)),
                sum(w * y for w, (_, y) in zip(weights, four, strict=True)),
            )


@pytest.mark.parametrize("model", ["gpt/sp.py", "encdec/table8.py", "resnet/sp.py"])
def test_what_is_read_stands_above_and_the_picture_is_the_same_every_time(model: str) -> None:
    report = audit(resolve(str(FIXTURES / model)))
    graph = flow_graph(report)
    assert graph is not None
    assert len(graph.lines) == sum(len(place.reads) for place in report.flow)
    assert not [line for line in graph.lines if line.points[0][1] >= line.points[-1][1]]
    assert flow_graph(report) == graph


def test_a_graph_of_many_long_edges_is_drawn_with_its_inner_modules_closed() -> None:
    """As in DenseNet: every layer reads all before it, in one block of 30 layers of 3 modules each."""
    flow = [FlowPlace("first", "", (), 0.0, 0.0, 0.0, 0.0)]
    for layer in range(30):
        outer, before = f"block.layer{layer}", [place.name for place in flow if place.name.endswith(("first", "c"))]
        flow.append(FlowPlace(f"{outer}.a", "", tuple(before), 0.0, 0.0, 0.0, 0.0))
        flow.append(FlowPlace(f"{outer}.b", "", (f"{outer}.a",), 1.0 if layer == 7 else 0.0, 0.0, 0.0, 0.0))
        flow.append(FlowPlace(f"{outer}.c", "", (f"{outer}.b",), 0.0, 0.0, 0.0, 0.0))
    modules = ["block", *(f"block.layer{layer}" for layer in range(30))]
    rows = tuple(ActivationRow(m, m, True, None, None, 0.0, 0.0, 0.0, 0.0) for m in modules)
    bad = Violation("MUP301", "hidden-lr", "error", "m", None, None, (), "", "", "", module="block.layer7.b")
    graph = flow_graph(report_of(flow=tuple(flow), activations=rows, violations=(bad,)))
    assert graph is not None
    assert [(node.label, node.state, node.pins) for node in graph.nodes] == [
        ("first", "flat", ()), ("block (90 inside)", "grows", (0,)),
    ]  # fmt: skip


def test_findings_stand_at_their_modules_and_what_is_right_can_be_closed() -> None:
    flow = [FlowPlace(name, "", (), 0.0, 0.0, 0.0, 0.0) for name in ("c.d", "c.f.g", "c.f.h", "h.*.i")]
    bad = Violation("MUP301", "hidden-lr", "error", "m", None, None, ("h.1.i.weight",), "", "", "")
    rows = [ActivationRow(m, m, True, None, None, 0.0, 0.0, 0.0, 0.0) for m in ("c", "c.f", "h.0", "h.1")]
    tensor = TensorRow("h.1.i.weight", (2, 2), "matrix", ("hidden",), ("inf", "inf"), 0.0, 0.0, 0.0)
    report = report_of(flow=tuple(flow), activations=tuple(rows), violations=(bad,), tensors=(tensor,))
    for closed, expected in ((False, ["d", "g", "h", "i"]), (True, ["c (3 inside)", "i"])):
        graph = flow_graph(report, closed)
        assert graph is not None
        assert [node.label for node in graph.nodes] == expected
        assert [node.label for node in graph.nodes if node.pins] == ["i"]
        assert {(frame.label, frame.count) for frame in graph.frames} >= {("h.*", 2)}


def test_a_finding_without_a_tensor_stands_where_it_is_and_not_at_all_of_a_list() -> None:
    """A list of different blocks, as U-Nets have them: attention is in one of them alone."""
    flow = [
        FlowPlace(name, "", (), 0.0, 0.0, 0.0, 0.0) for name in ("h.0.conv", "h.0.skip", "h.1.q", "h.1.k", "h.2.conv")
    ]
    bad = Violation(
        "MUP201", "attention-scale", "error", "m", None, None, (), "", "", "", module="h.*", modules=("h.1",)
    )
    rows = [ActivationRow(m, m, True, None, None, 0.0, 0.0, 0.0, 0.0) for m in ("h.0", "h.1", "h.2")]
    graph = flow_graph(report_of(flow=tuple(flow), activations=tuple(rows), violations=(bad,)))
    assert graph is not None
    assert {frame.label: frame.pins for frame in graph.frames} == {"h.0": (), "h.1": (0,), "h.2": ()}
    assert not [node.title for node in graph.nodes if node.pins]


def test_names_from_code_are_text(tmp_path: Path) -> None:
    hostile = '"]; <script>alert(1)</script> [label=<b>'
    flow = (FlowPlace("a", "", (), 0.0, 0.0, 0.0, 0.0), FlowPlace(hostile, "", ("a",), 0.0, 0.0, 0.0, 0.0))
    rows = (ActivationRow(hostile, hostile, True, None, None, 0.0, 0.0, 0.0, 0.0),)
    body = audit_section(report_of(flow=flow, activations=rows), "t", tmp_path).body
    assert "<svg" in body
    assert "<script>" not in body
