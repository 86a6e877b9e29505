"""Writes the documentation that is derived from the code: ``make docs``."""
