"""Models and files that nobody expects, by kind, with what muaudit must say of each."""
