import io
import logging
from collections.abc import Iterator

import httpx
import pytest
from bitrix24_double import SECRET, WEBHOOK_URL

from dlt_sources.bitrix24.errors import ConfigurationError
from dlt_sources.bitrix24.webhook import Webhook, protect_logs, redact


@pytest.fixture
def log_output() -> Iterator[io.StringIO]:
    """Everything that any logger writes at debug level, formatted."""
    factory = logging.getLogRecordFactory()
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield output
    root.removeHandler(handler)
    root.setLevel(level)
    logging.setLogRecordFactory(factory)


@pytest.mark.parametrize(
    ("url", "host", "endpoint"),
    [
        (WEBHOOK_URL, "portal.test", f"https://portal.test/rest/1/{SECRET}/profile"),
        (f"  https://Portal.Test/rest/17/{SECRET}  ", "portal.test", f"https://portal.test/rest/17/{SECRET}/profile"),
        (f"https://portal.test:8443/rest/1/{SECRET}/profile.json", "portal.test:8443", None),
        (f"http://127.0.0.1:8024/rest/1/{SECRET}/", "127.0.0.1:8024", None),
        (f"http://localhost:8024/rest/1/{SECRET}/", "localhost:8024", None),
        (f"http://[::1]:8024/rest/1/{SECRET}/", "[::1]:8024", f"http://[::1]:8024/rest/1/{SECRET}/profile"),
    ],
)
def test_a_webhook_is_read_as_bitrix24_shows_it(url: str, host: str, endpoint: str | None) -> None:
    """People paste it with spaces, capitals, or a method behind it."""
    webhook = Webhook.parse(url)
    assert webhook.host == host
    if endpoint:
        assert webhook.endpoint("profile") == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "portal.test",
        f"http://portal.test/rest/1/{SECRET}/",
        f"http://127.0.0.1.portal.test/rest/1/{SECRET}/",
        f"ftp://portal.test/rest/1/{SECRET}/",
        f"https://portal.test/{SECRET}/",
        f"https://portal.test/rest/{SECRET}/",
        f"https://portal.test/rest/admin/{SECRET}/",
        f"https://portal.test/rest/1/{SECRET}/?auth=1",
        f"https://user:{SECRET}@portal.test/rest/1/{SECRET}/",
        f"https://portal.test:{SECRET}/rest/1/x/",
        f"https://[portal.test/rest/1/{SECRET}/",
    ],
)
def test_anything_else_is_refused_without_repeating_it(url: str) -> None:
    """The message goes to terminals and logs; it says what a webhook looks like and never what was given."""
    with pytest.raises(ConfigurationError) as caught:
        Webhook.parse(url)
    assert SECRET not in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_webhook_shows_itself_without_its_code() -> None:
    """It may land in any f-string."""
    webhook = Webhook.parse(WEBHOOK_URL)
    assert str(webhook) == repr(webhook) == f"{webhook}" == "https://portal.test/rest/1/***/"


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (f"https://renamed.test/rest/1/{SECRET}/batch", "renamed.test"),
        ("https://renamed.test/some/login?back=/", "renamed.test"),
        ("https://renamed.test:444/", "renamed.test:444"),
    ],
)
def test_a_renamed_portal_changes_the_host_alone(location: str, host: str) -> None:
    """The redirect's path is not trusted: it may be a login page."""
    moved = Webhook.parse(WEBHOOK_URL).moved_to(location)
    assert moved.endpoint("batch") == f"https://{host}/rest/1/{SECRET}/batch"


@pytest.mark.parametrize(
    "location", ["", "/rest/2/", "http://renamed.test/", "https://portal.test/login", "http://127.0.0.1/"]
)
def test_a_redirect_elsewhere_is_refused(location: str) -> None:
    """To plain http, to nowhere, or to the same place again."""
    with pytest.raises(ConfigurationError):
        Webhook.parse(WEBHOOK_URL).moved_to(location)


def test_redact_covers_percent_encoding() -> None:
    """A code with reserved characters shows in another spelling inside a URL."""
    webhook = Webhook("https", "portal.test", "1", "a+b/c")
    assert redact("a+b/c a%2Bb%2Fc a%252Bb%252Fc abc", webhook) == "*** *** *** abc"


def test_log_records_of_any_library_lose_the_secret(log_output: io.StringIO) -> None:
    """In the message, in arguments of any type, in exceptions with and without a cause."""
    protect_logs(Webhook.parse(WEBHOOK_URL))
    protect_logs(Webhook.parse(WEBHOOK_URL))
    library = logging.getLogger("some.library")
    library.debug("calling %s", httpx.URL(WEBHOOK_URL))
    library.info("calling %(url)s", {"url": WEBHOOK_URL})
    library.warning(f"calling {WEBHOOK_URL}")
    try:
        try:
            raise ValueError(WEBHOOK_URL)
        except ValueError as cause:
            raise RuntimeError("failed") from cause
    except RuntimeError:
        library.exception("it failed")
    library.info("plain %s", "words")
    text = log_output.getvalue()
    assert SECRET not in text
    assert text.count("https://portal.test/rest/1/***/") == 4
    assert "RuntimeError: failed" in text
    assert "plain words" in text


def test_the_http_client_logs_no_urls(log_output: io.StringIO) -> None:
    """httpx writes the whole URL of each request at INFO."""
    protect_logs(Webhook.parse(WEBHOOK_URL))
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as http:
        http.get(WEBHOOK_URL)
    assert log_output.getvalue() == ""
