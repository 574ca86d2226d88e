"""Recipes: the prompts sent to a model, and the validation of its answers."""
