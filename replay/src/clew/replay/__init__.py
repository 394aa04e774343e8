"""Recordings of runs, and today's code run over them. What is recorded answers every call; nothing outside runs."""
