"""What messaging and lists cost, measured on private servers: ``make bench``. docs/performance.md explains the figures."""
