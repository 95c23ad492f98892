"""How good is it? Metrics that need no threshold, and those that do, by category and by slice."""
