"""From ideal exponents and what was found to discrepancies: one bug, one finding."""
