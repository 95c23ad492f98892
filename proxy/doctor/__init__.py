"""`weir doctor`: what is wrong with this installation or configuration, and the fix. Each check is a function that yields
Findings and never raises."""
