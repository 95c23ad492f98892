"""Judges: models that read a policy in words, behind any OpenAI-compatible endpoint. What they answer is a value."""
