"""Hyperparameters carried between widths: what one value means for every tensor at another width."""
