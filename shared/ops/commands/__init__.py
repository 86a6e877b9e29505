"""The groups of ``commonweal-ops``, a module each."""
