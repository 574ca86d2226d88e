"""Files in, chunks out: sources, cleaning, chunking."""
