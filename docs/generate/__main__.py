"""``python -m docs.generate``: writes every generated document."""

from docs.generate.documents import DIRECTORY, documents


def main() -> None:
    """Write what has changed, and say so."""
    for name, text in documents().items():
        path = DIRECTORY / name
        if path.exists() and path.read_text() == text:
            print(f"docs/{name} is as it was")
        else:
            path.write_text(text)
            print(f"docs/{name} is written anew")


if __name__ == "__main__":
    main()
