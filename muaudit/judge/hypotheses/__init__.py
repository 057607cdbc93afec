"""What else may be wrong than the uses that are off: each an edit, and the finding that it would explain."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..explanation import Edited, Explanation
from .factor_in_group import factor_in_group
from .misplaced_factor import misplaced_factors
from .other_table import other_table
from .stray_constant import stray_constants

Hypothesis = Callable[[Explanation], Iterator[Edited]]

HYPOTHESES: tuple[Hypothesis, ...] = (misplaced_factors, stray_constants, other_table, factor_in_group)
