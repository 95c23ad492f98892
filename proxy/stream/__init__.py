"""The streaming core: bytes and verdicts in, commands out. Nothing here waits, sleeps or looks at a clock."""
