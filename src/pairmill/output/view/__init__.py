"""The viewer's local server: pages any dataset from its own files, and marks its pairs."""
