"""Turns uploads into searchable chunks."""
