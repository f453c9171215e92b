"""The Central Bank of Russia's rates over HTTP: two methods of its XML, patience for a few seconds, no trust."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Self
from xml.etree import ElementTree

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from dlt_sources.cbr.errors import BankError

CONNECT_S, READ_S, ANSWER_S = 3.0, 3.0, 8.0  # to connect, between two pieces of an answer, for a whole answer
PAUSE_S = 0.5
MAX_BYTES = 8_000_000  # thirty years of one currency have 1.5 million
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
REDIRECTS = 3


@dataclass(frozen=True)
class Rate:
    """A rate as it is printed: `value` roubles, with a decimal comma, for `nominal` units from `rate_date` on."""

    rate_date: date
    nominal: str
    value: str


class Bank:
    """Reads one address of the bank's scripts; use it as a context manager."""

    def __init__(
        self,
        url: str,
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.host = httpx.URL(url).host
        self._clock, self._sleep = clock, sleep
        self._http = httpx.Client(
            base_url=url,
            transport=transport,
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            headers={"User-Agent": "bitrix24-analytics", "Accept": "application/xml"},
            follow_redirects=True,
            max_redirects=REDIRECTS,
            trust_env=self.host not in LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def listed(self, day: date) -> tuple[date, dict[str, str]]:
        """Return the day from which the rates in force on `day` hold, and the bank's id of each currency by its code.

        Raises:
            BankError: no answer, or none that is a list of rates.
        Source: XML_daily.asp of https://www.cbr.ru/development/SXML/.
        """
        root = self._read("XML_daily.asp", {"date_req": f"{day:%d/%m/%Y}"})
        ids = {
            (row.findtext("CharCode") or "").strip().upper(): row.get("ID", "").strip() for row in root.iter("Valute")
        }
        if not ids or not all(ids) or not all(ids.values()):
            raise BankError(f"{self.host} answers without currencies")
        return self._day(root.get("Date")), ids

    def rates(self, currency_id: str, first: date, last: date) -> list[Rate]:
        """Return the rates of one currency that begin to hold from `first` to `last`, oldest first; none on days off.

        Raises:
            BankError: as above.
        Source: XML_dynamic.asp of the same page.
        """
        asked = {"date_req1": f"{first:%d/%m/%Y}", "date_req2": f"{last:%d/%m/%Y}", "VAL_NM_RQ": currency_id}
        root = self._read("XML_dynamic.asp", asked)
        found = {
            self._day(row.get("Date")): (row.findtext("Nominal") or "", row.findtext("Value") or "")
            for row in root.iter("Record")
        }
        for nominal, value in found.values():
            if not _is_positive(nominal) or not _is_positive(value):
                raise BankError(f"{self.host} answers with a rate that is no number")
        return [Rate(day, nominal.strip(), value.strip()) for day, (nominal, value) in sorted(found.items())]

    def _day(self, text: str | None) -> date:
        try:
            return datetime.strptime(text or "", "%d.%m.%Y").date()
        except ValueError:
            raise BankError(f"{self.host} answers without a date") from None

    def _read(self, script: str, asked: dict[str, str]) -> ElementTree.Element:
        """One document, asked for twice at most; not again where nobody can be reached at all."""
        attempts = Retrying(
            stop=stop_after_attempt(2),
            retry=retry_if_exception_type((httpx.ReadError, httpx.RemoteProtocolError, httpx.HTTPStatusError)),
            wait=wait_fixed(PAUSE_S),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            body = attempts(self._fetch, script, asked)
        except httpx.HTTPStatusError as error:
            raise BankError(f"{self.host} answers with HTTP {error.response.status_code}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BankError(f"{self.host} cannot be reached ({type(error).__name__})") from None
        # only codes, dates and numbers are read: names may be in any encoding
        text = re.sub(r"^\s*<\?xml[^>]*\?>", "", body.decode("latin-1"))
        if "<!" in text:  # a DOCTYPE could define entities without end
            raise BankError(f"{self.host} answers with something else than rates")
        try:
            root = ElementTree.fromstring(text)  # noqa: S314 - bounded in size, and without a DOCTYPE
        except ElementTree.ParseError:
            raise BankError(f"{self.host} answers with something else than rates") from None
        if root.tag != "ValCurs":
            raise BankError(f"{self.host} answers with something else than rates")
        return root

    def _fetch(self, script: str, asked: dict[str, str]) -> bytes:
        deadline = self._clock() + ANSWER_S
        body = bytearray()
        with self._http.stream("GET", script, params=asked) as response:
            response.raise_for_status()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_BYTES or self._clock() > deadline:
                    raise BankError(f"{self.host} does not come to an end with its answer")
        return bytes(body)


def _is_positive(text: str) -> bool:
    try:
        number = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return False
    return number.is_finite() and number > 0
