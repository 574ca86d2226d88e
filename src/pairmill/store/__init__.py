"""What is durable: the ledger, the shards, the run folder."""
