"""One file a family: each has FAMILY, a `Family`. A new file here is a new family; nothing else lists them."""
