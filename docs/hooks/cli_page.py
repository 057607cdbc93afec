"""The reference of the command line, from the program's own help."""

from __future__ import annotations

from collections.abc import Iterator

import click
import typer.main

from muaudit.cli.application import application
from muaudit.cli.help import EXAMPLES, OPTIONS, group_of


def page() -> str:
    """The Markdown of cli.md."""
    program = typer.main.get_command(application())
    commands = program.commands  # type: ignore[attr-defined]
    head = (
        "# Command line\n\n"
        "Made from the program's own help: `muaudit COMMAND --help` prints the same. "
        "What a TARGET is, exit codes and streams are part of the [contract](contract.md).\n"
    )
    return "\n".join([head, *(line for name, command in commands.items() for line in _command(name, command))])


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"muaudit {name}")
    yield f"## muaudit {name}\n"
    yield f"{(command.help or '').strip()}\n"
    usage = command.get_usage(context).removeprefix("Usage: ").strip()
    yield f"```text\n{' '.join(usage.split())}\n```\n"
    if name in EXAMPLES:
        yield f"For example `{EXAMPLES[name]}`.\n"
    groups: dict[str, list[str]] = {title: [] for title in ("", *OPTIONS)}
    for parameter in command.params:
        if row := _row(parameter, context):
            of_option = parameter.param_type_name == "option"
            groups[group_of(name, parameter.opts) if of_option else ""].append(row)
    yield from ("| | |", "|---|---|")
    for title, rows in groups.items():
        yield from (*([f"| **{title}** | |"] if title and rows else []), *rows)
    yield ""


def _row(parameter: click.Parameter, context: click.Context) -> str | None:
    text = getattr(parameter, "help", None)
    if text is None:
        return None
    option = parameter.param_type_name == "option"  # the class is typer's own, and no click.Option
    names = [*parameter.opts, *parameter.secondary_opts] if option else [(parameter.name or "").upper()]
    metavar = f" {parameter.metavar}" if option and parameter.metavar else ""
    default = _default(parameter, context)
    return f"| {', '.join(f'`{name}{metavar}`' for name in names)} | {_cell(text)}{default} |"


def _default(parameter: click.Parameter, context: click.Context) -> str:
    value = parameter.get_default(context)
    if not getattr(parameter, "show_default", False) or value in (None, False, ()):
        return ""
    return f" Default: `{value}`."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
