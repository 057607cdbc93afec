"""The help of the program and of its commands: options in groups, one example, at the terminal's width. Plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

WIDEST = 160  # columns that help is set in where the terminal has them; by itself it would stop at 80
OPTIONS = {
    "Sizes": (
        "--axis", "--width", "--widths", "--depth", "--depths", "--over", "--probes", "--at", "--from", "--to",
        "--base-width", "--base-depth", "--at-depth", "--target-width", "--target-depth", "--target-steps", "--bsh",
    ),
    "Model and optimizer": (
        "--set", "--arg", "--input", "--init", "--no-init", "--optimizer", "--optimizer-kind", "--lr-group", "--seed",
    ),
    "Training": (
        "--steps", "--seeds", "--lr", "--near", "--extend", "--hp", "--samples", "--grid", "--finalists", "--longer",
        "--data", "--batch-size", "--schedule", "--warmup", "--clip", "--no-training", "--sweep", "--device", "--dtype",
        "--precision", "--until-decided", "--budget", "--together", "--results", "--ray", "--ray-cpus", "--ray-gpus",
    ),
    "Runs of a script, and runs made elsewhere": ("--command", "--loss-file", "--loss-name", "--import", "--columns"),
    "Plan": (
        "--plan", "--convert", "--only-plan", "--compare-plan", "--compare", "--ladder", "--formulation",
        "--zero-readout", "--zero-query", "--recipe", "--names", "--audit",
    ),
    "Checkpoints": (
        "--state-dict", "--no-state-dict", "--fresh", "--function-preserving", "--optimizer-state", "--keep",
        "--verify",
    ),
    "Judging": (
        "--profile", "--select", "--extend-select", "--ignore", "--baseline", "--prune", "--strict", "--fail-on",
        "--exit-zero", "--tolerance", "--lost", "--training-loss", "--spectral",
    ),
    "Edits of the source": ("--fix", "--diff", "--show-fixes"),
    "Output": (
        "--format", "--output", "--out", "--tensors", "--why", "--statistics", "--quiet", "--all", "--plot", "--curves",
        "--emit", "--emit-python", "--emit-bsh", "--for", "--tensorboard", "--wandb", "--table", "--profiles",
        "--dry-run", "--yaml", "--json", "--schema", "--errors", "--verbose",
    ),
    "This run": ("--config", "--isolated", "--no-cache", "--jobs", "--timeout", "--debug", "--help"),
}  # fmt: skip
"""The groups of options, in the order in which they stand in a command's help."""
_OTHERWISE = {("convert", "--from"): "Checkpoints", ("coord-check", "--from"): "Output"}
_BY_OPTION = {option: title for title, options in OPTIONS.items() for option in options}
EXAMPLES = {
    "check": "muaudit check model.py:GPT --width n_embd=64,128",
    "convert": "muaudit convert model.py:GPT --base-width 128 --width 4096",
    "transfer": "muaudit transfer model.py:GPT --from 256 --to 8192 --set lr=3e-3,wd=0.1",
    "coord-check": "muaudit coord-check model.py:GPT --widths 64,128,256,512 --plot check.png",
    "diagnose": "muaudit diagnose model.py:GPT --width 8192 --lr 1e-3",
    "sweep": "muaudit sweep model.py:GPT --widths 64,128,256 --lr 2^-12..2^-4 --convert",
    "tune": "muaudit tune model.py:GPT --at 128 --samples 32 --plan mup/plan.yaml",
    "report": "muaudit report model.py:GPT --out report.html",
    "draw": "muaudit draw model.py:GPT --out model.svg",
    "init": "muaudit init --dry-run",
    "baseline": "muaudit baseline && muaudit check --baseline muaudit-baseline.json",
    "config": "muaudit config",
    "rules": "muaudit rules",
    "explain": "muaudit explain MUP201",
    "tables": "muaudit tables --optimizer adam",
    "mcp": "claude mcp add muaudit -- muaudit mcp",
    "version": "muaudit version",
}


class CommandHelp(TyperCommand):
    """A command whose help has its options in groups, and an example below them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then each group under its heading."""
        records = [(each, each.get_help_record(ctx)) for each in self.get_params(ctx)]
        arguments = [record for each, record in records if record and each.param_type_name == "argument"]
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": arguments, **{title: [] for title in OPTIONS}}
        for each, record in records:
            if record and each.param_type_name == "option":
                sections[group_of(self.name or "", each.opts)].append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if example := EXAMPLES.get(self.name or ""):
            with formatter.section("Example"):
                formatter.write(f"  {example}\n")


class ProgramHelp(TyperGroup):
    """The program, whose help has its commands in groups. `groups`: the names under each heading."""

    groups: Mapping[str, tuple[str, ...]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under their headings."""
        for title, names in self.groups.items():
            commands = [(name, self.commands[name]) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, each.get_short_help_str(formatter.width)) for name, each in commands])


def group_of(command: str, names: Iterable[str]) -> str:
    """The heading that an option of these names stands under."""
    name = max(names, key=lambda each: each in _BY_OPTION)
    return _OTHERWISE.get((command, name), _BY_OPTION.get(name, "This run"))
