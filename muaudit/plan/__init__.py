"""Plans: scales for every tensor as plain data, and beside them what applies, groups, moves, reads and writes them."""
