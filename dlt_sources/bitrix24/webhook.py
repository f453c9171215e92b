"""The address of a portal. A webhook URL is a password, so this module also keeps it out of texts."""

import logging
import traceback
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

from dlt_sources.bitrix24.errors import ConfigurationError

EXPECTED = "https://<portal>/rest/<user id>/<code>/"
MASK = "***"


@dataclass(frozen=True, repr=False)
class Webhook:
    """An incoming webhook of one portal; `str` and `repr` show it without its code."""

    scheme: str
    host: str
    user_id: str
    code: str

    @classmethod
    def parse(cls, url: str) -> "Webhook":
        """Read a webhook URL as Bitrix24 shows it, with or without a method name behind it.

        Raises:
            ConfigurationError: not such a URL, or plain http to a host other than this machine;
                the message does not repeat the URL.
        """
        try:
            parts = urlsplit(url.strip())
            host = _host(parts.hostname, parts.port)
        except ValueError:
            raise ConfigurationError(f"The webhook URL cannot be read. It should look like {EXPECTED}") from None
        segments = [segment for segment in parts.path.split("/") if segment]
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigurationError(f"The webhook URL must begin with https:// and look like {EXPECTED}")
        if parts.username or parts.query or parts.fragment:
            raise ConfigurationError(
                f"The webhook URL has parts that do not belong there. It should look like {EXPECTED}"
            )
        if len(segments) not in (3, 4) or segments[0] != "rest" or not segments[1].isdecimal():
            raise ConfigurationError(
                f"The webhook URL is not complete. It should look like {EXPECTED}; copy it whole from the portal: "
                "Developer resources, Other, Incoming webhook."
            )
        webhook = cls(parts.scheme, host, segments[1], segments[2])
        if webhook.scheme == "http" and not webhook.is_loopback:
            raise ConfigurationError("The webhook URL must use https: plain http would send its secret unprotected.")
        return webhook

    @property
    def is_loopback(self) -> bool:
        """Whether the portal runs on this machine."""
        name = urlsplit(f"//{self.host}").hostname or ""
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"

    def endpoint(self, method: str) -> str:
        """URL of a method, secret included: for the HTTP client alone."""
        return f"{self.scheme}://{self.host}/rest/{self.user_id}/{self.code}/{method}"

    def endpoint_v3(self, method: str) -> str:
        """URL of a method of REST 3.0, secret included: for the HTTP client alone."""
        return f"{self.scheme}://{self.host}/rest/api/{self.user_id}/{self.code}/{method}"

    def moved_to(self, location: str) -> "Webhook":
        """Return the same webhook on the host that a redirect names; the redirect's path is not used.

        Raises:
            ConfigurationError: the redirect leads nowhere new, or to plain http.
        """
        try:
            parts = urlsplit(location)
            moved = Webhook(parts.scheme, _host(parts.hostname, parts.port), self.user_id, self.code)
        except ValueError:
            raise ConfigurationError("The portal answered with a redirect that cannot be read.") from None
        is_safe = moved.scheme == "https" or (moved.scheme == "http" and self.scheme == "http" and moved.is_loopback)
        if not moved.host or not is_safe or moved == self:
            raise ConfigurationError(
                "The portal answered with a redirect that does not lead to another https address of it. "
                "Open the portal in a browser and copy the webhook URL again."
            )
        return moved

    def __repr__(self) -> str:
        return f"{self.scheme}://{self.host}/rest/{self.user_id}/{MASK}/"


def _host(name: str | None, port: int | None) -> str:
    host = (name or "").lower()
    if ":" in host:
        host = f"[{host}]"
    return f"{host}:{port}" if port else host


def redact(text: str, webhook: Webhook) -> str:
    """Return the text with the webhook's code, plain or percent-encoded, replaced by a mask."""
    for spelling in {webhook.code, quote(webhook.code, safe=""), quote(quote(webhook.code, safe=""), safe="")}:
        text = text.replace(spelling, MASK)
    return text


def protect_logs(webhook: Webhook) -> None:
    """Keep the webhook's code out of every log record of this process, whoever writes it.

    Covers message, arguments and exception text of any logger. The HTTP client's own lines, which
    show URLs, are silenced below WARNING. May be called again for the same or another webhook.
    """
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    inner = logging.getLogRecordFactory()
    if webhook in getattr(inner, "protected", ()):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _redacted(inner(*args, **kwargs), webhook)

    factory.protected = (webhook, *getattr(inner, "protected", ()))  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


def _redacted(record: logging.LogRecord, webhook: Webhook) -> logging.LogRecord:
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        message = f"{record.msg} {record.args}"  # a malformed record may hold the secret as well
    safe = redact(message, webhook)
    if safe != message:
        record.msg, record.args = safe, ()
    if record.exc_info and record.exc_info[0] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if redact(text, webhook) != text:
            # handlers that format exc_info themselves would show it again
            record.exc_info, record.exc_text = None, redact(text, webhook)
    return record
