"""What can be seen of Weir from outside: how long each look at a text took, trace spans and metrics over OpenTelemetry, and
whether the traffic still looks like the texts that the thresholds were made on. Names and numbers, never anybody's words."""
