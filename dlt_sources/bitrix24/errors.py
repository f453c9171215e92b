"""Failures of a portal, split by what the caller should do about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class BitrixError(Exception):
    """Base of every failure here; its text is one plain message with a next step and never holds a secret."""


class ConfigurationError(BitrixError, ValueError):
    """A setting cannot be used; a person must correct it."""


class AccessError(BitrixError):
    """The portal refuses the webhook, or a table that nothing can replace; a person must act.

    `code` is the portal's error code (`NO_AUTH_FOUND`, `insufficient_scope`, ...), or `HTTP 401`.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class PortalUnavailable(BitrixError):  # noqa: N818  a state of the portal, told apart from its refusals by name
    """No usable answer after the last retry: network, server faults, or limits. Try again later."""


class BatchTimeoutError(PortalUnavailable):
    """A batch of several commands ran into the time limit of one request; fewer commands may pass."""


class PortalError(BitrixError):
    """The portal refused a request for another reason; repeating it would not help."""


class Kind(Enum):
    """What a failed request or batch command asks of the caller."""

    THROTTLED = "throttled"  # the request bucket is full: wait, then repeat
    OPERATING = "operating"  # this method used up its operating time: leave it alone for a while
    TRANSIENT = "transient"  # a fault that may pass: repeat a few times
    ACCESS = "access"  # the webhook as a whole is refused
    DENIED = "denied"  # this method is refused: a scope, a right or the method itself is missing
    OVERLOAD = "overload"  # the vendor blocked the portal by hand
    REFUSED = "refused"  # anything else; repeating is useless


@dataclass(frozen=True)
class Failure:
    """One refusal, classified. `retries` is how often a repeat is worthwhile."""

    kind: Kind
    code: str
    description: str = ""
    retries: int = 0

    def __str__(self) -> str:
        return f"{self.code}: {self.description}" if self.description else self.code


TRANSIENT_RETRIES = 5
V3_PREFIX = "bitrix_rest_v3_exception_"

_BY_CODE = {
    "query_limit_exceeded": Kind.THROTTLED,
    "operation_time_limit": Kind.OPERATING,
    "overload_limit": Kind.OVERLOAD,
    "internal_server_error": Kind.TRANSIENT,
    "error_unexpected_answer": Kind.TRANSIENT,
    "no_auth_found": Kind.ACCESS,
    "invalid_credentials": Kind.ACCESS,
    "expired_token": Kind.ACCESS,
    "invalid_token": Kind.ACCESS,
    "user_access_error": Kind.ACCESS,
    "application_not_found": Kind.ACCESS,
    "authorization_error": Kind.ACCESS,
    "wrong_auth_type": Kind.ACCESS,
    "payment_required": Kind.ACCESS,
    "wrong_license": Kind.ACCESS,
    "insufficient_scope": Kind.DENIED,
    "access_denied": Kind.DENIED,
    "allowed_only_intranet_user": Kind.DENIED,
    "error_method_not_found": Kind.DENIED,
    "200040300010": Kind.DENIED,
    "portal_deleted": Kind.REFUSED,
}
_BY_STATUS = {
    401: Kind.ACCESS,
    402: Kind.ACCESS,
    403: Kind.ACCESS,
    408: Kind.TRANSIENT,
    429: Kind.OPERATING,
    503: Kind.THROTTLED,
}


def classify(body: Mapping[str, Any], status: int | None = None) -> Failure:
    """Classify an error envelope, or one entry of a batch's `result_error`.

    The portal spells errors in every way: `""`, 0, numbers, upper or lower case, an object in REST v3.
    So the code decides, then the HTTP status (`None` inside a batch), then the description.

    Source: Bitrix24 REST docs, error-codes.md, system-errors.md and the method pages.
    """
    error = body.get("error", "")
    if isinstance(error, Mapping):
        body, error = error, error.get("code", "")
        description = str(body.get("message", ""))
    else:
        description = str(body.get("error_description") or "")
    code = str(error).strip()
    shown = code or (f"HTTP {status}" if status else "error without a code")

    kind = _BY_CODE.get(code.lower())
    if kind is None and status == 403 and code.lower().startswith(V3_PREFIX):
        kind = Kind.DENIED  # of one user's rows, say; the old methods answer so when the webhook itself is refused
    if kind is None and status is not None:
        kind = _BY_STATUS.get(status, Kind.TRANSIENT if status >= 500 else None)
    if kind is None and any(sign in description.lower() for sign in ("access denied", "action_not_allowed")):
        kind = Kind.DENIED
    if kind is Kind.TRANSIENT:
        return Failure(kind, shown, description, TRANSIENT_RETRIES)
    if kind is None and code in ("", "0") and "error" in body:
        return Failure(Kind.TRANSIENT, shown, description, 1)  # "anything": one repeat tells a fault from a refusal
    return Failure(kind or Kind.REFUSED, shown, description)
