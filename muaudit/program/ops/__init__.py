"""The table of ATen operations: which small-language value each one is, with the identity behind it."""

from . import functions, moves, products

__all__ = ["functions", "moves", "products"]
