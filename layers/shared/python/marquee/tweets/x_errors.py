"""What may become of a request to X besides an answer."""


class NeverSent(Exception):
    """No byte of the request left: it had no effect."""


class NoAnswer(Exception):
    """No whole answer came back: the request may have had its effect."""

    def __init__(self, message: str, *, timed_out: bool) -> None:
        super().__init__(message)
        self.timed_out = timed_out
