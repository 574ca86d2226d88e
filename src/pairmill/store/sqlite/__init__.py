"""The default ledger: an SQLite database in the run folder."""
