"""Hyperparameters sought on a small model, by random search (TP5, arXiv 2203.03466, Algorithm 1 and App. F)."""
