"""Exponents: the algebra of width scaling, from aligned recordings to discrepancies."""
