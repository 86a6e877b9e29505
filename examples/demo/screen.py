"""What the story looks like on a terminal, and as plain lines when it goes to a file."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich import box
from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

MAX_WIDTH = 110


class Screen:
    """Prints the story: chapters with their day, lines, tables."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if self.console.width > MAX_WIDTH or not self.console.is_terminal:
            self.console.width = MAX_WIDTH

    def title(self, title: str, subtitle: str) -> None:
        """Open the story."""
        self.console.print(Panel(Text(title, style="bold", justify="center"), subtitle=subtitle, box=box.DOUBLE))

    def chapter(self, number: int, day: datetime, title: str) -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.rule(
            Text.assemble((f"{number}  ", "bold cyan"), (title, "bold"), (f"   {_day(day)}", "dim")), align="left"
        )

    def on(self, day: datetime) -> None:
        """Say that the story has moved on to another day."""
        self.console.print(Text(f"  {_day(day)}", style="dim"))

    def done(self, text: str) -> None:
        """Tell something that happened."""
        self._told("✓", "bold green", text)

    def by_itself(self, text: str) -> None:
        """Tell something that happened without anybody asking for it: an event had its effect."""
        self._told("⇢", "bold magenta", text)

    def refused(self, text: str) -> None:
        """Tell of a refusal that belongs to the story."""
        self._told("✗", "bold yellow", text)

    def note(self, text: str) -> None:
        """Explain something in passing."""
        self.console.print(Padding(Text.from_markup(text, style="dim"), (0, 0, 0, 4)))

    def _told(self, mark: str, style: str, text: str) -> None:
        line = Table.grid(padding=(0, 1))
        line.add_row(" ", Text(mark, style=style), Text.from_markup(text))
        self.console.print(line)

    def columns(self, cells: Iterable[str]) -> None:
        """Print many short cells side by side."""
        self.console.print(Columns([Text(f"    {cell}") for cell in cells], column_first=True, padding=(0, 1)))

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
        """Print a table; ``right`` numbers the columns that are aligned to the right, from 0."""
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=True, show_edge=False)
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def closing(self, lines: Sequence[str]) -> None:
        """Say how to go on."""
        self.console.print()
        self.console.print(Panel(Text.from_markup("\n".join(lines)), title="How to go on", box=box.ROUNDED))

    def failure(self, message: str) -> None:
        """Say that the story ended badly, and why."""
        self.console.print()
        self.console.print(Panel(Text(message), title="The demo failed", style="red", box=box.ROUNDED))


def _day(day: datetime) -> str:
    return f"{day:%A} {day.day} {day:%B %Y}"
