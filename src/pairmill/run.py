"""Where all of it meets: one reader, N workers, one writer, in the only task group."""
