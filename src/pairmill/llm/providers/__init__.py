"""The wires to a model, one file each."""
