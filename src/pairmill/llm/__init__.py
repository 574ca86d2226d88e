"""From a request to a completion: providers, limits, retries."""
