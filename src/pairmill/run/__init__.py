"""A run: one reader, N workers, one writer, in the only task groups."""
