"""Why the bank gave no rates."""


class BankError(Exception):
    """The bank could not be reached, or what it answers is no list of rates; the message says which."""
