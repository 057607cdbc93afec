"""The tables that are read and not computed with, held against the equations and the texts that they come from."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from program import app
from typer.testing import CliRunner

from muaudit.parametrizations.studies import PUBLISHED


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["tables", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def written(exponent: Fraction) -> str:
    """A power of m as the table has it."""
    size = {0: "1", 1: "m", Fraction(1, 2): "sqrt(m)"}[abs(exponent)]
    return f"1/{size}" if exponent < 0 else size


@pytest.mark.parametrize(("column", "alpha"), [(1, Fraction(1)), (2, Fraction(1, 2))])
def test_the_rules_over_depth_solve_their_equations(column: int, alpha: Fraction) -> None:
    """λ + (1 + g)·µ = −1 with c ~ L^µ, µ = −α; eps follows the gradient, which is c times what it was."""
    (table,) = PUBLISHED["completep"]
    cells = {row[0]: row[column] for row in table.rows}
    assert cells["constant on the branch"] == written(-alpha)
    assert cells["Adam lr in the branch, biases and gains too"] == written(-1 + alpha)
    assert cells["SGD lr in the branch"] == written(-1 + 2 * alpha)
    assert cells["Adam eps in the branch"] == written(-alpha)
    assert {cells[what] for what in ("lr × weight decay", "embedding, final norm, readout")} == {"1"}


def test_what_broke_transfer_is_what_the_paper_says() -> None:
    """arXiv 2404.05728: gains, decoupled weight decay, Lion, 1/sqrt(d) attention and SP as a whole; nothing else."""
    _, ablations = PUBLISHED["lingle"]
    broke = {change for change, transfers, *_ in ablations.rows if transfers == "no"}
    parts = (
        "RMSNorm with a vector gain",
        "RMSNorm with a scalar gain",
        "weight decay",
        "sqrt(D) (SP)",
        "all of SP",
        "Lion",
    )
    assert len(broke) == len(parts)
    assert all(any(part in change for change in broke) for part in parts)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_table_comes_with_its_source_in_every_format(name: str) -> None:
    plain, markdown, found = run("--table", name), run("--table", name, "--format", "markdown"), run(
        "--table", name, "--format", "json"
    )  # fmt: skip
    for table in json.loads(found):
        assert "arXiv" in table["source"]
        assert f"source: {table['source']}" in plain
        assert all(len(row) == len(table["header"]) for row in table["rows"])
        assert f"| {' | '.join(table['header'])} |" in markdown


def test_the_tables_of_width_have_every_format() -> None:
    found = json.loads(run("--format", "json", "--optimizer", "adam"))
    assert len(found) == 5
    assert ["Adam lr", "1", "1/fan_in", "1/fan_in"] in found[0]["rows"]
    assert not any(row[0] == "SGD lr" for table in found for row in table["rows"])
    assert "| hidden | n^-1/2 | n^-1 | n^0 |" in run("--format", "markdown")


def test_the_profiles_differ_where_their_papers_do() -> None:
    text = run("--profiles", "--format", "json")
    rows = {row[0]: row for table in json.loads(text) for row in table["rows"]}
    assert rows["tp5"][1] == "n^-1 or smaller"
    assert rows["standard-full-align"][1] == rows["lingle"][1] == "n^-1/2 or smaller"
    assert rows["lingle"][4] == "advice"
    assert rows["lingle"][6] == "MUP505"
    assert (rows["completep"][5], rows["depth-mup"][5]) == ("L^-1", "L^-1/2")  # 2505.01618, 2310.02244
    assert rows["tp5-as-written"][2] == "n^-1"  # Appendix B.3: weight decay independent of width


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "completp"], "did you mean completep?"),
        (["--format", "yaml"], "formats: text, markdown, json"),
        (["--table", "1", "--profiles"], "give one of them"),
    ],
)
def test_what_is_asked_wrongly_is_said(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["tables", *arguments])
    assert done.exit_code == 2
    assert said in done.output
