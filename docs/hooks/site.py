"""What mkdocs does beyond copying Markdown: pages made from the code, the navigation, formulas.

Nothing made here is committed: each build reads the rules, the options and the settings as they are in the code.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cli_page
import coord_check_page
import latex2mathml.converter
import messages_page
import rule_pages
import settings_tables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from muaudit.report import json as report_json
from muaudit.settings import schema as settings_schema

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)
_TABLE = re.compile(r"^<!-- table: ([a-z-]+) -->$", re.M)
_PAPER = re.compile(r"(?<!\[)\barXiv\s(\d{4}\.\d{5})")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give every rule its place in the navigation, and every page that mkdocs.yml does not name."""
    listed = set(_files(config.nav or []))
    written = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md")}
    config.nav = [_filled(entry, sorted(written - listed)) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, and the schemas that ship with it."""
    made = {
        **rule_pages.pages(),
        "cli.md": cli_page.page(),
        "messages.md": messages_page.page(),
        "assets/gpt-coord-check.html": coord_check_page.page(),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for path in (settings_schema.SHIPPED, report_json.SHIPPED):
        files.append(File.generated(config, f"schemas/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in the tables made from the code, and link papers by their number."""
    filled = _TABLE.sub(lambda found: settings_tables.TABLES[found[1]](), markdown)
    return _PAPER.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", filled)


def on_page_content(content: str, **_: Any) -> str:
    """Turn LaTeX into MathML, which browsers set by themselves: no script, nothing to load."""
    return _FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    display = "block" if found[1] == "div" else "inline"
    return latex2mathml.converter.convert(html.unescape(found[2]).strip(), display=display)


def _files(entry: Any) -> Iterator[str]:
    """The pages that an entry of the navigation names."""
    if isinstance(entry, str):
        yield entry
    for below in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
        yield from _files(below)


def _filled(entry: Any, others: list[str]) -> Any:
    """Rules by group below their index; pages that have no place yet after the guides, folders as a group each."""
    title, content = next(iter(entry.items()))
    if content == "rules/index.md":
        return {title: [content, *rule_pages.navigation()]}
    if title != "Guides":
        return entry
    folders = sorted({name.rpartition("/")[0] for name in others if "/" in name})
    groups = [{folder.capitalize(): [n for n in others if n.startswith(f"{folder}/")]} for folder in folders]
    return {title: [*content, *(name for name in others if "/" not in name), *groups]}
