"""Invariants over stored facts, and what reads those facts from a log and its views: `clew verify`.

Everything but `reading` and `command` is arithmetic over values. What a trial of chaos knows beside (what its tools and
its model saw) is not here.
"""
