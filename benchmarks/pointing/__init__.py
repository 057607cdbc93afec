"""How well `muaudit check FILE` points itself: the files, what is expected of each, and what runs and compares them."""
