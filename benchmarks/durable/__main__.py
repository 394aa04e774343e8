"""What durable runs cost: `make bench` runs it. Each measurement is one process beside bare pydantic-ai in itself.

It starts Kafka, Postgres and the rest of the stack on free ports in a temporary folder, and prints a table and JSON.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.durable.host import Host
from benchmarks.durable.killed import killed
from benchmarks.durable.report import machine, show
from benchmarks.parts import on_parts

SIZES = {  # runs at once; for one-agent the rounds
    "one-agent": 60,
    "fan": 1000,
    "fan-agents": 1000,
    "steps": 1000,
    "agents": 100,
    "memory-bare": 1000,
    "memory-durable": 1000,
    "killed-plain": 1000,
    "killed-agents": 1000,
}
Found = dict[str, dict[str, float]]


async def measure(host: Host, only: Sequence[str], share: float, peers: bool) -> Found:
    """Each measurement by name, `share` of its size."""
    found: Found = {}
    for name in only:
        size = max(int(SIZES[name] * share), 10)
        what, _, of = name.partition("-")
        found[name] = await killed(host, of, size) if what == "killed" else await host.found(name, size)
        print(f"{name}: {json.dumps(found[name])}", file=sys.stderr)
    if peers:
        found["peer"] = await host.peer(max(int(SIZES["fan"] * share), 10))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", metavar="name", help="what to measure (default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="of the size of each measurement (default 1)")
    parser.add_argument("--peers", action="store_true", help="DBOS too; it must be installed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    if unknown := set(options.only) - SIZES.keys():
        parser.error(f"nothing is measured as {', '.join(sorted(unknown))}; there are {', '.join(SIZES)}")
    only = options.only or list(SIZES)
    found = on_parts("bench", lambda env, folder: measure(Host(env, folder), only, options.share, options.peers))
    show(found)
    figures = json.dumps({"machine": machine(), **found})
    print(figures)
    if options.json:
        options.json.write_text(figures + "\n")


if __name__ == "__main__":
    main()
