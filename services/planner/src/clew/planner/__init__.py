"""Decides what happens to a message and makes the plan."""
