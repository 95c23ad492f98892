"""Pure functions of text: normalise for detection, unescape JSON, redact."""
