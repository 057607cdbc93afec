"""What is said of a report: one renderer a format, and what they share."""
