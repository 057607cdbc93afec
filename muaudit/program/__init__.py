"""A recording lowered to a small language of values, one operation at a time."""
