"""The classifier: an exported model with its manifest, the session that runs it, the queue in front of it."""
