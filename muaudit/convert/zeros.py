"""Readouts and queries that are to start at zero, as TP5 advises (App. D.2, arXiv 2203.03466)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from ..analysis.derive import Scaling
from ..analysis.quality import untied_readouts
from ..analysis.zero_query import projections
from ..errors import UserError
from ..findings.names import pattern_of_all
from ..plan.scales import Entry

READOUT, QUERY = "readout", "query"


def with_zeros(entries: Mapping[str, Entry], scaling: Scaling, zeros: Collection[str]) -> dict[str, Entry]:
    """The entries, those of what `zeros` names starting at zero.

    zeros: "readout", "query" or both.

    Raises:
        UserError: the model has no such tensor, or it makes other things besides.
    """
    names: set[str] = set()
    if READOUT in zeros:
        names |= set(_readouts(scaling))
    if QUERY in zeros:
        names |= set(_queries(scaling))
    return {name: replace(entry, zero=True) if name in names else entry for name, entry in entries.items()}


def _readouts(scaling: Scaling) -> Iterator[str]:
    found = dict.fromkeys(use.tensor for use in untied_readouts(scaling))
    if not found:
        raise UserError(
            "--zero-readout: no readout of this model can start at zero",
            "one that is tied to an embedding cannot, as the embedding would too; leave the flag out",
        )
    yield from found


def _queries(scaling: Scaling) -> Iterator[str]:
    found = [query for _, query, _ in projections(scaling)]
    if not found:
        raise UserError(
            "--zero-query: no attention of this model has heads that grow with the width",
            "with heads of one size nothing has to start at zero; leave the flag out",
        )
    shared = [query.tensor for query in found if not query.whole]
    if shared:
        raise UserError(
            f"--zero-query: {pattern_of_all(shared)} makes keys or values besides queries, and a plan scales it as one",
            "set these rows to zero where the model is initialized: nn.init.zeros_(weight[rows])",
        )
    yield from (query.tensor for query in found)
