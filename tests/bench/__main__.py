"""Run the benchmark and print its one table; exit code 1 where a target is missed."""

import sys
import time

from rich.console import Console

from tests.bench import growth, imports, quotas, retries, runs, scoring, searches
from tests.bench.report import Line, show


def main() -> int:
    """Everything on one laptop cloud of its own, in a temporary folder."""
    began = time.monotonic()
    say = Console(stderr=True, highlight=False)
    sections: list[tuple[str, list[Line]]] = []
    say.print("A laptop cloud for the benchmark …")
    with searches.installation() as installed:
        for title, lines in (
            ("Imports", imports.lines_of(installed.cloud.home)),
            ("Scoring", scoring.lines()),
            ("One search", searches.lines(installed)),
            ("Films stored", growth.lines(installed)),
        ):
            say.print(f"{title} …")
            sections.append((title, list(lines)))
    say.print("Runs …")
    sections.append(("One run of the tweet pipeline", list(runs.lines())))
    say.print("Quotas …")
    sections.append(("Waiting for a quota, simulated", list(quotas.lines())))
    say.print("Retries …")
    sections.append(("Retries on recorded faults", list(retries.lines())))
    out = Console(highlight=False, width=WIDTH)
    missed = show(sections, out)
    out.print(NOTES)
    out.print(f"Measured in {time.monotonic() - began:.0f} s.")
    for target in missed:
        out.print(f"[bold red]Missed:[/bold red] {target}")
    return 1 if missed else 0


WIDTH = 100
"""Also where the output is a file."""

NOTES = """
Imports are CPU time in fresh interpreters, bytecode at hand, a handler and the baseline in turn.
Units, calls, transitions and events are counted from what ran on the local AWS. DynamoDB's writes
are the emulator's ConsumedCapacity; reads are computed from the items read, for it answers a
constant. It records no states inside a Map: each task there counts as one. Lambda's time is this
machine's, priced at each function's MemorySize on arm64, and includes the API's wait for the
search; functions are warm and have read their secrets. Runs of the tweet pipeline go in this
process: their units are computed from the items, Lambda's time holds moto's DynamoDB, and of the
logs only the lines of metrics are counted.
"""

if __name__ == "__main__":
    sys.exit(main())
