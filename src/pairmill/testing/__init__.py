"""A simulated endpoint, for our tests and benchmarks and for yours."""
