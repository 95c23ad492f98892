"""The decision log: what was decided, under which policy, by which model; chained, so that a change shows."""


class AuditError(Exception):
    """The store cannot be used; says what, where, and what to do. Never carries a password."""
