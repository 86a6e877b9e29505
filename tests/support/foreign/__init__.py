"""Programs of other systems, as these would write them: each runs in a process of its own, without our code."""
