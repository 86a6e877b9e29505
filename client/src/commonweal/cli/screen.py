"""What reaches the terminal, and how a command ends."""

import click

#: A command could not do what it is for: it was called wrongly, a file cannot be read, a service cannot be reached.
UNUSABLE = 2


class Unusable(click.ClickException):
    """A command cannot do what it is for; the sentence says why and what to do."""

    exit_code = UNUSABLE

    def __init__(self, sentence: str) -> None:
        super().__init__("\n".join(map(printable, sentence.splitlines())))


def printable(text: object) -> str:
    """Return a text on one line, with an escape for every sign that a terminal would obey or hide.

    Files and answers hold what others wrote.
    """
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode() for sign in str(text)
    )


def count(number: int, what: str) -> str:
    """Return a number of things in words: ``1 problem``, ``2 problems``."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")
