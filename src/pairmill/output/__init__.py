"""From shards to what people use: card, formats, export, report."""
