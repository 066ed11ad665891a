"""The error of a token that is not accepted."""


class RefusedToken(Exception):
    """A token is not accepted. The reason is for the operator's log; it holds nothing of the token."""
