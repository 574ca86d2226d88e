"""The usual ledger: an SQLite database in the run folder."""
