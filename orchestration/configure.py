"""`b24 configure`: a proposed rules.yml in Russian, each line with what was measured."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slugify import slugify

from dlt_sources.files import UNREADABLE, read_file
from dlt_sources.files.errors import InputFileError
from dlt_sources.files.schema import FILES
from orchestration.console import grouped
from orchestration.dbt import PROJECT_DIR
from orchestration.survey import Portal, entity_name, label_of
from warehouse.errors import WarehouseError
from warehouse.rules import Rules, parse_rules, shown
from warehouse.settings import Settings

TEST = re.compile(
    r"\b(тесты?|тестов(ая|ые|ый|ое)|tests?|архив\w*|archive|демо|demo|песочница|sandbox|учебн\w+)\b", re.IGNORECASE
)
CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]+"
)  # end a line, or no text of YAML
ROBOT = re.compile(r"\b(робот\w*|бот|bot|api|интеграц\w*|integration\w*|1[сc]|crm|webhook|вебхук)\b", re.IGNORECASE)
QUALIFIED = re.compile(r"(?<!не)(?<!не )(квалифи|qualif|целев|качествен|подтвержд)", re.IGNORECASE)
LOSS = re.compile(r"(причин|отказ|проигр|loss|lost|reject)", re.IGNORECASE)
CSAT = re.compile(r"(оценк|удовлетвор|csat)", re.IGNORECASE)
SUPPORT = re.compile(r"(сервис|поддержк|обращени|рекламаци|support|helpdesk)", re.IGNORECASE)
SALES = re.compile(r"(продаж|sales|тендер)", re.IGNORECASE)
PAID = re.compile(r"(реклам|авито|avito|директ|ads|таргет|2gis|2гис|продвиж)", re.IGNORECASE)
TEST_TITLE = "^(тест|test)"
TEST_TITLES = ("тест%", "test%")
MOST_TESTS = 0.05  # of the deals; more would be a product, such as "Тестомес"
LOSS_SHARE, LOSS_ROWS = 0.8, 10  # of a field's values on lost deals, and how many at the least
MOSTLY = 0.5  # of the deals have a contact and no company: people buy, not companies
CHURN_MEDIANS, CHURN_STEP, CHURN_FLOOR = 2.5, 10, 30
CHURN_FITS = (2, 3)  # medians between purchases within which the default is left alone
SHOWN = 10


@dataclass(frozen=True)
class Proposal:
    """A line of the file; one that is not sure stands there as a comment."""

    key: str
    value: Any
    reasons: tuple[str, ...]
    is_sure: bool = True


@dataclass
class Proposed:
    """Everything that is proposed: rules, lines of input files, and remarks without a key."""

    origin: str
    rules: list[Proposal] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    inputs: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # by input file

    def to_yaml(self) -> str:
        """The file; it passes the checks of `warehouse.rules`."""
        lines = [
            f"# Предложено по: {self.origin}. Проверьте каждую строку; все ключи: docs/configuration.md.",
            "# Строка с решёткой не действует: уберите решётку, если согласны. После правки: b24 build.",
        ]
        for proposal in self.rules:
            lines += ["", *(f"# {reason}" for reason in proposal.reasons)]
            lines.append(f"{'' if proposal.is_sure else '# '}{proposal.key}: {shown(proposal.value)}")
        if self.remarks:
            lines += ["", "# К сведению"]
            lines += [f"# - {remark}" for remark in self.remarks]
        return "\n".join(CONTROL.sub(" ", line) for line in lines) + "\n"

    def values(self) -> dict[str, Any]:
        """What takes effect."""
        return {proposal.key: proposal.value for proposal in self.rules if proposal.is_sure}


def propose(
    portal: Portal, channel_rules: Iterable[Mapping[str, str]], support_sources: Sequence[Mapping[str, str]] = ()
) -> Proposed:
    """Look at the portal; every proposal has its measured reason.

    Args:
        channel_rules: rows of the channel map in force: seed and input file.
        support_sources: rows of the input file; what they name is not proposed again.
    """
    found = Proposed(portal.origin)
    deals, leads = portal.counts("deals", [{}])[0], portal.counts("leads", [{}])[0]
    _pipelines(portal, found, deals)
    _people(portal, found, deals)
    _titles(portal, found, deals)
    _leads(portal, found, deals, leads)
    _fields(portal, found)
    _departments(portal, found)
    _clients(portal, found, deals)
    _support(portal, found, support_sources)
    _channels(portal, found, list(channel_rules))
    _money(portal, found, deals)
    return found


def _pipelines(portal: Portal, found: Proposed, deals: int) -> None:
    pipelines = [row for row in portal.rows("pipelines") if row["entity_type_id"] == "2"]
    counts = dict(
        zip(
            [row["id"] for row in pipelines],
            portal.counts("deals", [{"CATEGORY_ID": row["id"]} for row in pipelines]),
            strict=True,
        )
    )
    tests = [row for row in pipelines if TEST.search(row["name"] or "")]
    if tests:
        reasons = [
            f"воронка «{row['name']}» (id {row['id']}): {_many(counts[row['id']], 'сделка', 'сделки', 'сделок')}, "
            "имя похоже на проверочную"
            for row in tests
        ]
        found.rules.append(Proposal("excluded_category_ids", [int(row["id"]) for row in tests], tuple(reasons)))
    listed = "; ".join(f"{row['id']} «{row['name']}» {grouped(counts[row['id']])}" for row in pipelines)
    gone = deals - sum(counts.values())
    left = f"; ещё {grouped(gone)} в воронках, которых в портале уже нет" if gone > 0 else ""
    found.remarks.append(f"воронки сделок (id, имя, сделок): {listed}{left}")


def _people(portal: Portal, found: Proposed, deals: int) -> None:
    users = portal.rows("users")
    robots = [user for user in users if ROBOT.search(f"{_full_name(user)} {user.get('work_position') or ''}")]
    dismissed = [user for user in users if str(user.get("active")).lower() in ("false", "n", "0")]
    strange = [
        user
        for user in users
        if user not in robots and (not _full_name(user) or user.get("user_type") not in (None, "", "employee"))
    ]
    asked = [user["id"] for user in (*robots, *strange, *dismissed)]
    counts = dict(zip(asked, portal.counts("deals", [{"ASSIGNED_BY_ID": key} for key in asked]), strict=True))
    if robots:
        reasons = [
            f"{_full_name(user)} (id {user['id']}): {_many(counts[user['id']], 'сделка', 'сделки', 'сделок')}, "
            "имя или должность похожи на робота или интеграцию"
            for user in robots
        ]
        found.rules.append(Proposal("excluded_user_ids", [int(user["id"]) for user in robots], tuple(reasons)))
    strange = [user for user in strange if counts[user["id"]]]
    if strange:
        reasons = [
            f"{_full_name(user) or 'без имени'} (id {user['id']}, {user.get('user_type') or 'тип неизвестен'}): "
            f"{_many(counts[user['id']], 'сделка', 'сделки', 'сделок')}; сотрудник ли это?"
            for user in strange
        ]
        ids = [int(user["id"]) for user in (*robots, *strange)]
        found.rules.append(Proposal("excluded_user_ids", ids, tuple(reasons), is_sure=False))
    if dismissed:
        theirs = sum(counts[user["id"]] for user in dismissed)
        found.remarks.append(
            f"уволенных {len(dismissed)}, у них {grouped(theirs)} из {grouped(deals)} сделок "
            f"({_percent(theirs, deals)}): они остаются в отчётах со своей историей, исключать их не нужно"
        )


def _titles(portal: Portal, found: Proposed, deals: int) -> None:
    tests = sum(portal.counts("deals", [{"=%TITLE": like} for like in TEST_TITLES]))
    leads = sum(portal.counts("leads", [{"=%TITLE": like} for like in TEST_TITLES]))
    if not tests + leads:
        return
    reason = (
        f"название начинается на «тест» или «test»: {_many(tests, 'сделка', 'сделки', 'сделок')}, "
        f"{_many(leads, 'лид', 'лида', 'лидов')}"
    )
    is_few = tests <= deals * MOST_TESTS
    reasons = (reason,) if is_few else (reason, "это слишком много для проверочных: может быть, так зовётся товар")
    found.rules.append(Proposal("test_title_regex", TEST_TITLE, reasons, is_sure=is_few))


def _leads(portal: Portal, found: Proposed, deals: int, leads: int) -> None:
    if deals and not leads:
        reason = f"лидов нет, сделок {grouped(deals)}: простой режим CRM, обращения считаются по сделкам"
        found.rules.append(Proposal("lead_mode", "requests", (reason,)))
        return
    statuses = [row for row in portal.rows("statuses") if row["entity_id"] == "STATUS"]
    qualified = [
        row
        for row in statuses
        if (row.get("semantics") or "P") == "P" and QUALIFIED.search(row["name"] or "")
    ]  # fmt: skip
    if not qualified:
        return
    counts = portal.counts("leads", [{"STATUS_ID": row["status_id"]} for row in qualified])
    reasons = tuple(
        f"статус лида «{row['name']}» ({row['status_id']}): сейчас в нём {_many(count, 'лид', 'лида', 'лидов')}, "
        "имя похоже на отбор"
        for row, count in zip(qualified, counts, strict=True)
    )
    found.rules.append(Proposal("qualified_lead_status_ids", [row["status_id"] for row in qualified], reasons))


def _fields(portal: Portal, found: Proposed) -> None:
    fields = [
        row
        for row in portal.rows("custom_fields")
        if row["entity_id"] == "CRM_DEAL" and row.get("user_type_id") in ("enumeration", "crm_status", "string")
    ]
    filled = portal.counts("deals", [{f"!{row['field_name']}": ""} for row in fields])
    lost = portal.counts("deals", [{f"!{row['field_name']}": "", "STAGE_SEMANTIC_ID": "F"} for row in fields])
    all_lost = portal.counts("deals", [{"STAGE_SEMANTIC_ID": "F"}])[0]
    candidates = [
        (bool(LOSS.search(label_of(row))), of_lost, total, row)
        for row, total, of_lost in zip(fields, filled, lost, strict=True)
        if (of_lost >= LOSS_ROWS and of_lost >= LOSS_SHARE * total) or LOSS.search(label_of(row))
    ]
    candidates = [one for one in candidates if one[0] or one[3].get("user_type_id") == "enumeration"]
    candidates.sort(key=lambda one: (-one[0], -one[1], one[3]["field_name"]))
    for number, (is_named, of_lost, total, row) in enumerate(candidates):
        reason = (
            f"поле сделки «{label_of(row)}»: заполнено у {grouped(total)}, из них проиграно {grouped(of_lost)} "
            f"({_percent(of_lost, total)}); всего проиграно {grouped(all_lost)}"
        )
        is_sure = not number and is_named and of_lost >= LOSS_ROWS
        found.rules.append(Proposal("loss_reason_field", row["field_name"], (reason,), is_sure))
    marks = [
        row
        for row in portal.rows("custom_fields")
        if row.get("user_type_id") in ("integer", "double", "enumeration") and CSAT.search(label_of(row))
    ]
    for number, row in enumerate(marks):
        reason = f"поле {entity_name(row['entity_id'])} «{label_of(row)}»: похоже на оценку клиента от 1 до 5"
        found.rules.append(Proposal("csat_field", row["field_name"], (reason,), is_sure=not number))


def _departments(portal: Portal, found: Proposed) -> None:
    departments = {row["id"]: row for row in portal.rows("departments")}
    children: dict[str | None, list[str]] = {}
    for row in departments.values():
        children.setdefault(row.get("parent"), []).append(row["id"])
    people: dict[str, int] = {}
    for user in portal.rows("users"):
        text = user.get("uf_department")
        of_user = json.loads(text) if text and text.startswith("[") else []
        if of_user:
            people[str(of_user[0])] = people.get(str(of_user[0]), 0) + 1
    chosen: dict[str, str] = {}
    for key, row in departments.items():
        if SALES.search(row["name"] or ""):
            below, seen = [key], set[str]()
            while below:
                one = below.pop()
                if one not in seen:
                    seen.add(one)
                    chosen.setdefault(one, "имя" if one == key else f"входит в «{row['name']}»")
                    below += children.get(one, [])
    if chosen and len(chosen) < len(departments):
        reasons = tuple(
            f"отдел «{departments[key]['name']}» (id {key}): "
            f"{_many(people.get(key, 0), 'человек', 'человека', 'человек')}"
            f"{'' if why == 'имя' else f', {why}'}"
            for key, why in sorted(chosen.items(), key=lambda item: int(item[0]))
        )
        found.rules.append(Proposal("sales_department_ids", sorted(map(int, chosen)), reasons))


def _clients(portal: Portal, found: Proposed, deals: int) -> None:
    companies, contacts, both = portal.counts(
        "deals", [{">COMPANY_ID": 0}, {">CONTACT_ID": 0}, {">COMPANY_ID": 0, ">CONTACT_ID": 0}]
    )
    people = contacts - both
    text = (
        f"из {grouped(deals)} сделок с компанией {grouped(companies)}, только с контактом {grouped(people)} "
        f"({_percent(people, deals)})"
    )
    if deals and people > deals * MOSTLY:
        reason = f"{text}: покупают люди, поэтому клиент — контакт"
        found.rules.append(Proposal("client_priority", "contact_first", (reason,)))
    else:
        found.remarks.append(f"{text}: клиент — компания, если она указана (client_priority: company_first)")
    median = _purchase_interval(portal)
    if median is None:
        found.remarks.append("срок оттока (churn_inactivity_days) считается по покупкам: запустите после загрузки")
        return
    default = Rules.model_fields["churn_inactivity_days"].default
    measured = f"медиана между покупками одного клиента {median:g} дн., две-три медианы — "
    measured += f"{CHURN_FITS[0] * median:g}–{CHURN_FITS[1] * median:g} дн."
    if CHURN_FITS[0] * median <= default <= CHURN_FITS[1] * median:
        found.remarks.append(f"{measured}: {default} дн. без покупки (churn_inactivity_days) подходят")
    else:
        days = max(CHURN_FLOOR, round(CHURN_MEDIANS * median / CHURN_STEP) * CHURN_STEP)
        found.rules.append(Proposal("churn_inactivity_days", days, (f"{measured}; по умолчанию {default}",)))


def _purchase_interval(portal: Portal) -> float | None:
    """Median days between the purchases of a client, by the rules in force; None before the first build."""
    con = portal.warehouse
    if (
        con is None
        or not con.execute(
            "select 1 from duckdb_tables() where schema_name = 'core' and table_name = 'fct_deals'"
        ).fetchone()
    ):
        return None
    row = con.execute(
        """
        select quantile_cont(days, 0.5) from (
            select won_date - lag(won_date) over (partition by client_key order by won_at, deal_id) as days
            from core.fct_deals where is_in_scope and outcome = 'won' and client_key <> 'unknown'
        ) where days is not null
        """
    ).fetchone()
    return None if row is None or row[0] is None else float(row[0])


def _support(portal: Portal, found: Proposed, named: Sequence[Mapping[str, str]]) -> None:
    def is_named(source: Mapping[str, str]) -> bool:
        """An empty cell of the file stands for all."""
        return any(
            line["source_type"] == source["source_type"]
            and all((line.get(key) or source[key]) == source[key] for key in ("entity_type_id", "pipeline_key"))
            for line in named
        )

    processes = {row["entity_type_id"]: row["title"] or "" for row in portal.rows("process_types")}
    lines: list[dict[str, str]] = []
    for row in portal.rows("pipelines"):
        type_id, name = row["entity_type_id"], row["name"] or ""
        where = {"entity_type_id": type_id, "pipeline_key": row["id"], "topic_field": ""}
        source = {"source_type": "pipeline" if type_id == "2" else "process", **where}
        if is_named(source):
            continue
        if type_id in processes and SUPPORT.search(processes[type_id]):
            lines.append(source)
            found.remarks.append(f"обращения: смарт-процесс «{processes[type_id]}», воронка «{name}»")
        elif type_id == "2" and SUPPORT.search(name):
            lines.append(source)
            found.remarks.append(f"обращения: воронка сделок «{name}» (id {row['id']}); продажи ли это или сервис?")
    if lines:
        found.inputs["support_sources"] = lines


def _channels(portal: Portal, found: Proposed, rules: Sequence[Mapping[str, str]]) -> None:
    def is_known(match_field: str, value: str) -> bool:
        return any(
            rule["match_field"] == match_field and re.fullmatch(rule["pattern"], value.strip().lower())
            for rule in rules
        )

    unknown: list[tuple[str, str, str, int]] = []  # field, value, name, rows
    sources = [
        row
        for row in portal.rows("statuses")
        if row["entity_id"] == "SOURCE" and not is_known("source_id", row["status_id"])
    ]
    wheres = [{"SOURCE_ID": row["status_id"]} for row in sources]
    for row, leads, deals in zip(sources, portal.counts("leads", wheres), portal.counts("deals", wheres), strict=True):
        unknown.append(("source_id", row["status_id"].lower(), row["name"] or row["status_id"], leads + deals))
    if portal.warehouse is not None:
        tags = portal.warehouse.execute(
            """
            select lower(trim(utm_source)), count(*) from (
                select utm_source from raw_bitrix24.leads where _deleted_at is null
                union all select utm_source from raw_bitrix24.deals where _deleted_at is null
            ) where coalesce(trim(utm_source), '') <> '' group by 1
            """
        ).fetchall()
        unknown += [("utm_source", tag, tag, rows) for tag, rows in tags if not is_known("utm_source", tag)]
    unknown = sorted((one for one in unknown if one[3]), key=lambda one: (-one[3], one[1]))
    for match_field, value, name, rows in unknown[:SHOWN]:
        found.remarks.append(f"нет в карте каналов: {match_field} «{name}» ({value}), лидов и сделок {grouped(rows)}")
    if len(unknown) > SHOWN:
        found.remarks.append(f"нет в карте каналов ещё {len(unknown) - SHOWN}")
    if unknown:
        first = max((int(rule["priority"]) for rule in rules), default=0) + 10
        found.inputs["channel_map"] = [
            {
                "priority": str(first + 10 * number), "match_field": match_field, "pattern": re.escape(value),
                "utm_medium_pattern": "", "channel_key": slugify(name, separator="_") or f"channel_{number + 1}",
                "name_ru": name, "channel_group": "other", "is_paid": str(bool(PAID.search(name))).lower(),
            }
            for number, (match_field, value, name, _) in enumerate(unknown)
        ]  # fmt: skip


def _money(portal: Portal, found: Proposed, deals: int) -> None:
    codes = [row["currency"] for row in portal.rows("currencies")]
    counts = zip(codes, portal.counts("deals", [{"CURRENCY_ID": code} for code in codes]), strict=True)
    used = sorted(((code, count) for code, count in counts if count), key=lambda one: -one[1])
    if len(used) > 1:
        listed = ", ".join(f"{code} {grouped(count)}" for code, count in used)
        found.remarks.append(
            f"валюты сделок: {listed}; в отчётах всё пересчитано в REPORTING_CURRENCY (.env; пусто — базовая валюта "
            "портала) по курсу дня продажи"
        )
    taxed = portal.counts("deals", [{">TAX_VALUE": 0}])[0]
    found.remarks.append(
        f"налог указан в {grouped(taxed)} из {grouped(deals)} сделок ({_percent(taxed, deals)}): суммы сделок берутся "
        "как есть, с НДС; расходы на рекламу тоже подавайте с НДС"
    )


def channel_rules(inputs: Path) -> list[dict[str, str]]:
    """The channel map in force: the seed's lines, and those of the input file."""
    return _lines(PROJECT_DIR / "seeds", "channel_map") + _lines(inputs, "channel_map")


def support_sources(inputs: Path) -> list[dict[str, str]]:
    """The sources of support tickets that the input file names."""
    return _lines(inputs, "support_sources")


def _lines(folder: Path, table: str) -> list[dict[str, str]]:
    """An input file as a run reads it; nothing of one that is not there or that a run would refuse as a whole."""
    lines: list[dict[str, str]] = []
    for path in (folder / f"{table}.csv", folder / f"{table}.xlsx"):
        with suppress(InputFileError, *UNREADABLE):
            lines += read_file(path, table, datetime.now(UTC))[0].to_pylist()
    return lines


def write(found: Proposed, settings: Settings, *, force: bool, say: Callable[[str], None]) -> None:
    """Write the proposal, or, where there is a file already, say what differs from it.

    Raises:
        WarehouseError: a file cannot be written.
    """
    text = found.to_yaml()
    parse_rules(text, settings.rules_path.name)
    say(text)
    target = settings.rules_path
    if target.exists() and not force:
        _say_differences(found, target, say)
    else:
        _write(target, text)
        say(f"{target} записан. Проверьте его и запустите b24 build (или b24 sync, если данных ещё нет).")
    for name, rows in found.inputs.items():
        part = target.with_name(f"{name}.proposed.csv")
        if part.exists() and not force:
            say(f"{part} уже есть и оставлен как есть; --force запишет заново.")
            continue
        _write(part, _csv(name, rows))
        say(f"{part} записан: проверьте строки и перенесите их в {settings.inputs_path / name}.csv.")


def _say_differences(found: Proposed, target: Path, say: Callable[[str], None]) -> None:
    held = parse_rules(target.read_text(encoding="utf-8-sig"), target.name).dbt_vars()
    proposed = found.values()
    say(f"{target} уже есть и оставлен как есть; --force запишет предложенное. Отличия:")
    differing = [key for key in Rules.model_fields if held.get(key) != proposed.get(key)]
    for key in differing:
        before = shown(held[key]) if key in held else "нет"
        say(f"  {key}: в файле {before}, предложено {shown(proposed[key]) if key in proposed else 'нет'}")
    if not differing:
        say("  нет")


def _csv(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*FILES[name].model_fields], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WarehouseError(f"{path} cannot be written ({error.strerror}). Set RULES_PATH to another place.") from None


def _full_name(user: Mapping[str, Any]) -> str:
    return " ".join(str(user.get(key) or "").strip() for key in ("last_name", "name")).strip()


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}".replace("%", "\u00a0%") if whole else "—"


def _many(count: int, one: str, few: str, many: str) -> str:
    """1 сделка, 2 сделки, 5 сделок."""
    ten, hundred = count % 10, count % 100
    word = one if ten == 1 and hundred != 11 else few if 2 <= ten <= 4 and not 12 <= hundred <= 14 else many
    return f"{grouped(count)} {word}"
