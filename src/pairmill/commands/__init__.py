"""The commands beside ``run``, one a file. What costs time to import stands in the functions."""
