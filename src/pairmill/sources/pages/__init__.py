"""One HTML page into an article as Markdown, in processes that a page may not hold up."""
