"""Detectors look. Patterns here are pure functions of text; what they find is for the policy to weigh."""
