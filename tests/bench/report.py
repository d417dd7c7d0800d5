"""The one table that the benchmark prints, and the list of the targets that are missed."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Line:
    """One figure of this run; ``met`` is None where there is no target."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None


def at_most(what: str, value: float, target: float, form: str = "{:g}") -> Line:
    """A figure that must not exceed its target, both written in ``form``."""
    return Line(what, form.format(value), f"≤ {form.format(target)}", value <= target)


def show(sections: Iterable[tuple[str, Iterable[Line]]], out: Console) -> list[str]:
    """Print the table; answers the figures that miss their targets."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("figure", overflow="fold")
    table.add_column("this run", justify="right", no_wrap=True)
    table.add_column("target", no_wrap=True)
    table.add_column("", no_wrap=True)
    missed = []
    for section, lines in sections:
        table.add_row(f"[bold]{section}[/bold]")
        for line in lines:
            verdict = {True: "met", False: "[bold red]MISSED[/bold red]", None: ""}[line.met]
            table.add_row(f"  {line.what}", line.figure, line.target, verdict)
            if line.met is False:
                missed.append(f"{section}: {line.what}: {line.figure}, not {line.target}")
    out.print(table)
    return missed
