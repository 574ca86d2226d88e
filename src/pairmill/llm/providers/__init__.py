"""Clients of model endpoints ("wires"), one file each, and provider profiles."""
