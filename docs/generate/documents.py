"""The generated documents, by name; ``tests/contract/test_docs.py`` holds the files to what this returns."""

from pathlib import Path

from docs.generate import asyncapi, events, proposal_life, rpc

DIRECTORY = Path(__file__).parents[1]


def documents() -> dict[str, str]:
    """Return the text of each generated file of ``docs/``; the same code gives the same text."""
    return {
        "events.md": events.text(),
        "asyncapi.yaml": asyncapi.text(),
        "rpc.md": rpc.text(),
        "proposal-life.md": proposal_life.text(),
    }
