"""State dicts on disk: read in place, scaled as they stream by, written as a complete set or not at all."""
