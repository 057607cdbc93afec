"""What a child answered, as lines for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muaudit.cli.output import terminal_width, write
from muaudit.isolation.plain_data import rebuilt
from muaudit.report.layout import Line
from muaudit.report.render import to_text


def write_answer(answer: Mapping[str, Any], format_: str, output: Path | None) -> int:
    """Write what a child answered: its `data` as JSON, else its `lines`. Returns its exit `code`.

    Raises:
        UserError: the file cannot be written.
    """
    if format_ == "json":
        write(json.dumps(answer["data"], ensure_ascii=False, indent=1) + "\n", output)
    else:
        columns = terminal_width() if output is None else None
        write(to_text([rebuilt(Line, each) for each in answer["lines"]], columns), output)
    return int(answer["code"])
