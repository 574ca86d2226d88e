"""The page over a local server: any dataset, paged from its own files, and marks on its pairs."""
