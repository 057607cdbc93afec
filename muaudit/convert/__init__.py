"""From an audit to a plan: per-tensor scales that turn a model into µP, applied from outside."""
