"""What messaging, lists and the ledger cost, measured by ``make bench``; docs/performance.md has the figures."""
