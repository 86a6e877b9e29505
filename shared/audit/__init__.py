"""The audit trail of a service: who did, or was refused, what; and the chain that shows it was never changed."""
