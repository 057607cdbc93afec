"""Training frameworks: a plan as each one's own rules. One file a framework; `all_frameworks` lists them."""
