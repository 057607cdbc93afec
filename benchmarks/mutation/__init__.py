"""Mutants of right models: generated mechanically, judged by theory, audited by muaudit."""
