"""The facts that travel between services. What services import from here does no I/O.

Every event is a frozen model in one of the modules here; `topics.yaml` says which topic carries it, `codec` how it
looks on the wire. Import from the modules, not from this package.

`generate` and `compatibility` are commands for a checkout: they keep the files beside this package true.
"""
