"""Put the dashboards of `bi/superset/assets` into a running Superset; again and again without a double."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml
from psycopg.conninfo import conninfo_to_dict

from bi.superset.build import MONEY
from bi.superset.server import ADMIN, Superset, SupersetError
from warehouse.postgres import READER

ASSETS = Path(__file__).with_name("assets")
DATABASE_FILE = "databases/marts.yaml"
MASK = "XXXXXXXXXX"  # what Superset writes in place of a password; the true one travels beside the bundle
IMPORT_S = 120


@dataclass(frozen=True)
class Dashboard:
    """One dashboard that a viewer can open."""

    title: str
    url: str


def provision(superset: Superset, assets: Path = ASSETS) -> list[Dashboard]:
    """Import the bundle, its database pointed at the published marts as `bi_reader`.

    Charts and dashboards of the bundle get its state again, whatever was changed in them; others stay as they are.

    Raises:
        SupersetError: it did not work; the message holds the cause from the server's log.
    """
    superset.check_published()
    marts = conninfo_to_dict(superset.postgres.url(READER))
    bundle = _bundle(assets, f"postgresql+psycopg2://{READER}:{MASK}@{marts['host']}:{marts['port']}/{marts['dbname']}")
    (superset.folder / "currency").write_text(_currency(superset))
    before = superset.log.stat().st_size
    with login(superset) as client:
        answer = client.post(
            "/api/v1/assets/import/",
            files={"bundle": ("bundle.zip", bundle, "application/zip")},
            data={"passwords": json.dumps({DATABASE_FILE: marts["password"]})},
            timeout=IMPORT_S,
        )
    if answer.is_error:
        raise SupersetError(
            f"Superset refused the dashboards ({answer.status_code}):\n"
            f"{_causes(superset.log, before) or answer.text[:500]}\nMore is in {superset.log}."
        )
    return [
        Dashboard(board["dashboard_title"], f"{superset.address}/superset/dashboard/{board['slug']}/")
        for board in (_read(path) for path in sorted((assets / "dashboards").glob("*.yaml")))
    ]


@contextmanager
def login(superset: Superset) -> Iterator[httpx.Client]:
    """A client of Superset's API with the admin's rights.

    Raises:
        SupersetError: Superset is down, or its admin has another password.
    """
    with httpx.Client(base_url=superset.address, trust_env=False, timeout=60) as client:
        try:
            answer = client.post(
                "/api/v1/security/login", json={"username": ADMIN, "password": superset.password, "provider": "db"}
            )
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                raise SupersetError(
                    f"Superset does not take the kept password of {ADMIN}: it was changed in Superset itself. "
                    "`b24 bi superset password` sets it anew."
                )
            client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
            token = client.get("/api/v1/security/csrf_token/").raise_for_status().json()["result"]
            client.headers.update({"X-CSRFToken": token, "Referer": superset.address})
            yield client
        except httpx.HTTPError as error:
            raise SupersetError(
                f"Superset does not answer at {superset.address} ({type(error).__name__}). "
                f"Run `b24 bi superset start`; its log is {superset.log}."
            ) from None


def _currency(superset: Superset) -> str:
    """The code of the currency in which the marts tell every amount."""
    with psycopg.connect(superset.postgres.url(READER), connect_timeout=5) as con:
        row = con.execute("select currency from marts.dim_currency where is_reporting").fetchone()
    return str(row[0]) if row else ""


def _bundle(assets: Path, uri: str) -> bytes:
    """The folder as a zip file, with the true address of the marts and the currency in the formats of money."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(assets.rglob("*.yaml")):
            name, text = path.relative_to(assets).as_posix(), path.read_text(encoding="utf-8")
            if name == DATABASE_FILE:
                text = yaml.safe_dump(yaml.safe_load(text) | {"sqlalchemy_uri": uri}, allow_unicode=True)
            # `$` is the currency of D3_FORMAT, which is that of the marts in our Superset alone
            archive.writestr(f"assets/{name}", text.replace(f"'{MONEY}'", f"'${MONEY}'"))
    return packed.getvalue()


# a bad bundle is answered by a page without a word of the cause; these say the same in the log
_NO_CAUSE = ("None", "Error importing assets", "Import failed for an unknown reason")
_CAUSE = re.compile(r"(?:\d{4}-\S+ \S+:ERROR:[^:]*:|(?=[\w.]*(?:Error|Exception): ))(?P<said>.+)")


def _causes(log: Path, position: int) -> str:
    """What the server complained of after a position of its log, without the places in its code."""
    said = (_CAUSE.fullmatch(line) for line in log.read_bytes()[position:].decode(errors="replace").splitlines())
    causes = (match["said"] for match in said if match and not match["said"].endswith(_NO_CAUSE))
    return "\n".join(f"- {cause}" for cause in dict.fromkeys(causes))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content
