"""Refusals as the portal words them."""

from __future__ import annotations


class RestError(Exception):
    """A refusal: an HTTP status and the two keys of an error body.

    `code` is text or a number, and may be empty: old CRM methods answer with a description alone.
    """

    def __init__(self, status: int, code: str | int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description

    def body(self) -> dict[str, str | int]:
        """Return the JSON body; it has no `time`."""
        return {"error": self.code, "error_description": self.description}


def invalid_argument(description: str) -> RestError:
    """Return the refusal of a bad field or value by methods built on controllers."""
    return RestError(400, "INVALID_ARG_VALUE", description)


def operation_limit() -> RestError:
    """Return the refusal of a method whose operating budget is spent."""
    return RestError(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")


def query_limit() -> RestError:
    """Return the refusal of the leaky bucket."""
    return RestError(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")
