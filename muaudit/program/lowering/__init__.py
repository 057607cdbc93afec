"""From what an operation is to values: one function for every way of treating sizes, each with its identity."""

from . import functions, moves, products, reductions, sums, whole_matrices

__all__ = ["functions", "moves", "products", "reductions", "sums", "whole_matrices"]
