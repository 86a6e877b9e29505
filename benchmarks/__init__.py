"""What messaging costs, measured on private servers: ``make bench``. What each figure means: docs/performance.md."""
