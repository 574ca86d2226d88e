"""The report on a dataset: one page that opens from disk, with a verdict, charts and the pairs."""
