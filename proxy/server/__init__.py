"""The HTTP side: receive, match the route, read, inspect, decide, act, forward, and the same on the way back."""
