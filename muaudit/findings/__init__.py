"""What is found, before any rule gives it a code: the vocabulary that every later stage shares."""
