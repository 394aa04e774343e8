"""Runs plans: agents, tools, journal."""
