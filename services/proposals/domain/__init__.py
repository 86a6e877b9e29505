"""What rounds and proposals are and which rules they follow, in plain Python: no database, no broker, no clock."""
