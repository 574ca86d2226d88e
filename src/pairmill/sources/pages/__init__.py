"""Converts one HTML page to an article in Markdown, in separate processes."""
