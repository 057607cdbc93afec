"""Ideal exponents, which training needs, and predicted ones, which it will show."""
