"""The clew command."""
