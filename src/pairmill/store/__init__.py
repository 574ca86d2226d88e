"""Durable state: the ledger, the shards, the run folder."""
