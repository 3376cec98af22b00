"""What a query asks for and cannot have: said instead of guessed, for Bases and Dataview alike."""


class UnsupportedError(Exception):
    """Something whose meaning the documentation does not fix, or that we do not evaluate; the message names it."""


class BrokenError(UnsupportedError):
    """What is written is wrong: no program could read it, or it names what is not there."""
