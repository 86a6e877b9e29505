"""Use cases of the funding service: ``(session, principal, command) -> result``, and ``(session, event)`` for news."""
