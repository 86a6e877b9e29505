"""The use cases of outcomes: plain functions of a session, the caller and the command, or of a session and an event."""
