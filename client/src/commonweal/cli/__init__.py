"""The ``commonweal`` command: a module for each thing that it speaks of. What it shows, the services have decided."""
