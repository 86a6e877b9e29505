"""The soak: ``make soak``; see ``soak.py``."""
