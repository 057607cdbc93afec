"""Single bugs, planted in right models."""
