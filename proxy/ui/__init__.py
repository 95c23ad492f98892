"""The dashboard at /ui: every decision can be seen, explained and corrected. Rendered here, works without a network.

Nothing of it is imported before somebody asks for /ui. It reads the decision log in threads of its own and asks the model
through a queue of its own, so that no request waits for it. It shows no text that the log has not kept, and no key.
"""
