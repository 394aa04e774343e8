"""The facts that travel between services, and nothing that does I/O.

Every event is a frozen model in one of the modules here; `topics.yaml` says which topic carries it, `codec` how it
looks on the wire. Import from the modules, not from this package.
"""
