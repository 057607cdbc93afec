"""Two configurations held against a recipe: which setting of the large run is not what the small one's becomes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..findings.power import number
from ..parametrizations.recipes import RECIPES
from ..report.layout import BOLD, DIM, ERROR, GOOD, Line, columns, line, next_line
from ..thresholds import SAME_SETTING
from .horizon import BETAS, Horizon, carry_over
from .run_config import RunConfig, read_config
from .run_size import RunSize, amount

SCHEMA = "muaudit.transfer-audit/1"


@dataclass(frozen=True)
class Row:
    """One setting. expected: what the recipe makes of the small run's; follows: whether the large run has that, None
    where one of them does not say. instead: recipes that it would follow."""

    name: str
    small: float | None
    large: float | None
    expected: float | None
    follows: bool | None
    instead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Followed:
    """The audit of two configurations."""

    small: RunConfig
    large: RunConfig
    horizon: Horizon | None
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every setting that both give follows."""
        return all(row.follows is not False for row in self.rows)


def audit_pair(paths: tuple[Path, Path], names: dict[str, str], recipe: str | None, optimizer: str | None) -> Followed:
    """Hold the second file against what the first becomes.

    Raises:
        UserError: a file cannot be read or says too little, or the recipe refuses.
    """
    small, large = (read_config(path, names) for path in paths)
    before, after = _horizon_of(small.size), _horizon_of(large.size)
    horizon = None
    if before.batch is not None and after.batch is not None:
        horizon = carry_over(before, after, small.values, recipe, optimizer)
    elif recipe is not None:
        silent = small.path if before.batch is None else large.path
        raise UserError(f"{silent} does not say how long it trains", "batch, and tokens or steps; --names says where")
    expected = small.values if horizon is None else horizon.carried
    named = dict.fromkeys((*small.values, *large.values))
    rows = tuple(_row(name, small, large, expected.get(name), horizon) for name in named)
    if not any(row.follows is not None for row in rows):
        raise UserError(f"{small.path} and {large.path} have no setting in common", "--names says what they call them")
    return Followed(small, large, horizon, rows)


def _horizon_of(size: RunSize) -> RunSize:
    """Batch and data alone, where both are known."""
    return RunSize(None, None, size.batch, size.data) if size.batch and size.data else RunSize()


def _row(name: str, small: RunConfig, large: RunConfig, expected: float | None, horizon: Horizon | None) -> Row:
    here, there = small.values.get(name), large.values.get(name)
    if here is None or there is None or expected is None:
        return Row(name, here, there, expected, None)
    follows = same(there, expected)
    instead = () if follows or horizon is None else _others(name, there, horizon)
    return Row(name, here, there, expected, follows, instead)


def _others(name: str, there: float, horizon: Horizon) -> tuple[str, ...]:
    """The other recipes that would give what is there, and whether it was just left as it was."""
    found = [other for other, values in horizon.others().items() if name in values and same(there, values[name])]
    return (*found, *(["unchanged"] if same(there, horizon.given[name]) else []))


def same(found: float, expected: float) -> bool:
    """Momenta are compared by what they lack to 1, where that is small."""
    near_one = 0.5 < expected < 1 and 0.5 < found < 1
    pair = (1 - found, 1 - expected) if near_one else (found, expected)
    return abs(pair[0] - pair[1]) <= SAME_SETTING * max(abs(pair[0]), abs(pair[1]))


def followed_lines(found: Followed) -> Iterator[Line]:
    """The table for people."""
    yield line((f"{found.small.path} → {found.large.path}", BOLD))
    for text in _sizes(found):
        yield line(text, indent=2, hang=2)
    yield line()
    rows = [["", "small", "expected", "large", ""]]
    rows += [
        [row.name, _shown(row.small), _shown(row.expected), _shown(row.large), _verdict(row)] for row in found.rows
    ]
    yield from columns(rows, indent=2)
    if found.horizon is not None and (windows := found.horizon.windows()) is not None:
        yield line(f"weight decay averages over {number(windows[0])} of the small run, as expected over "
                   f"{number(windows[1])} of the large one", indent=2, hang=2)  # fmt: skip
    wrong = [row.name for row in found.rows if row.follows is False]
    yield line()
    if wrong:
        yield line((f"does not follow: {', '.join(wrong)}", ERROR))
    else:
        yield line(("every setting that both give follows", GOOD))
    if found.small.size.width != found.large.size.width or found.small.size.depth != found.large.size.depth:
        yield line(("these are the numbers that a plan's factors act on, the same at every width and depth: "
                    "muaudit transfer --plan FILE has each tensor's", DIM), hang=2)  # fmt: skip
    if wrong:
        yield line()
        yield next_line(f"set {', '.join(wrong)} of {found.large.path} to what is expected")


def _sizes(found: Followed) -> Iterator[str]:
    here, there = found.small.size, found.large.size
    for name in ("width", "depth"):
        small, large = getattr(here, name), getattr(there, name)
        if small is not None and large is not None:
            yield f"{name} {small} → {large}"
    if found.horizon is None:
        yield "batch and duration: not given in both, taken as the same"
        return
    recipe = found.horizon.recipe
    batch, data = found.horizon.ratios
    if batch == data == 1.0:
        yield "batch and duration: the same"
        return
    steps = found.horizon.steps
    yield (
        f"batch {amount(here.batch or 0)} → {amount(there.batch or 0)} (m_B = {number(batch)}), {steps[0]:,.0f} → "
        f"{steps[1]:,.0f} steps (m_S = {number(data / batch)}): {recipe.name}, {recipe.source}"
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _verdict(row: Row) -> str:
    if row.follows is None:
        return "not given in both"
    if row.follows:
        return "follows"
    instead = f" ({' or '.join(row.instead)} gives that)" if row.instead and row.instead != ("unchanged",) else ""
    off = "not as expected"
    if row.name in BETAS and row.expected is not None and row.large is not None and row.expected < 1:
        off = f"1 − β is × {number((1 - row.large) / (1 - row.expected))}"
    elif row.expected and row.large:
        off = f"× {number(row.large / row.expected)}"
    return f"does not follow: {off}{instead}{', unchanged' if 'unchanged' in row.instead else ''}"


def followed_data(found: Followed) -> str:
    """The audit as JSON."""
    recipe = None if found.horizon is None else found.horizon.recipe.name
    rows = [vars(row) | {"instead": list(row.instead)} for row in found.rows]
    data = {"schema": SCHEMA, "small": found.small.path, "large": found.large.path, "recipe": recipe,
            "recipes": list(RECIPES), "ok": found.ok, "settings": rows}  # fmt: skip
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
