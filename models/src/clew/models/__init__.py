"""Chooses the language model: a provider's, a local one, or the built-in offline model."""
