"""Everything the command line does, as functions with results to look at: what `muaudit.check` and the others are."""
