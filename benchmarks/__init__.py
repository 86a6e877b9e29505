"""What messaging and lists cost, measured on private servers by ``make bench``; docs/performance.md has the figures."""
