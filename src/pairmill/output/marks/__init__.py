"""People's decisions about pairs: an append-only file beside the data, which is never changed."""
