"""Commands other than ``run``, one per file. Slow imports are inside the functions."""
