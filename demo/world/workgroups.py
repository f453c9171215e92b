"""Workgroups and projects that tasks belong to."""

from __future__ import annotations

from demo.world.clock import DAY_S, date_stamp, local_day, portal_stamp
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.staff import Staff

# id, name, kind, closed, visible; tasks name 12 and 15
GROUPS = (
    (3, "Общая группа", "group", "N", "Y"),
    (7, "Корпоративные новости; праздники 🎉", "group", "N", "Y"),
    (12, "Внедрение CRM", "project", "N", "Y"),
    (15, "Реконструкция насосной «Восток»", "project", "N", "Y"),
    (18, "Переезд склада", "project", "Y", "Y"),
    (21, "Разработка шкафов управления", "scrum", "N", "Y"),
    (24, "Премии (секретная)", "group", "N", "N"),
)
OPENS_EVERY_DAYS = 3


class Workgroups:
    """Writes the groups and lets them live."""

    def __init__(self, engine: Engine, staff: Staff, start: int) -> None:
        """Fill the table; the groups are older than `start`."""
        self._engine = engine
        self._dice = Dice(engine.seed, "workgroups")
        self._staff = staff
        self._days = 0
        for group, name, kind, closed, visible in GROUPS:
            born = start - self._dice.number(20, 400) * DAY_S
            engine.tables["workgroups"].put(group, self._row(group, name, kind, closed, visible, born))

    def one_day(self) -> None:
        """Let one group be talked in, one be edited, and from time to time a project begin."""
        table = self._engine.tables["workgroups"]
        now = portal_stamp(self._engine.now)
        table.rows[self._dice.pick(list(table.rows))]["dateActivity"] = now
        edited = table.rows[self._dice.pick(list(table.rows))]
        edited |= {"numberOfMembers": str(int(edited["numberOfMembers"]) + 1), "dateUpdate": now}
        self._days += 1
        if self._days % OPENS_EVERY_DAYS == 0:
            group = table.last_id + 3
            table.put(group, self._row(group, f"Проект №{group}", "project", "N", "Y", self._engine.now))

    def _row(self, group: int, name: str, kind: str, closed: str, visible: str, born: int) -> Row:
        is_project = kind == "project"
        members, owner = self._dice.number(3, 25), self._dice.pick(self._staff.user_ids)
        is_scrum = kind == "scrum"
        return {
            "id": str(group),
            "active": "Y",
            "subjectId": "1",
            "name": name,
            "description": "",
            "keywords": "",
            "closed": closed,
            "visible": visible,
            "opened": "Y" if visible == "Y" else "N",
            "project": "Y" if is_project else "N",
            "landing": "N",
            "dateCreate": portal_stamp(born),
            "dateUpdate": portal_stamp(born),
            "dateActivity": portal_stamp(born),
            "imageId": None,
            "avatarType": None,
            "ownerId": owner,
            "numberOfMembers": str(members),
            "numberOfModerators": str(self._dice.number(1, 2)),
            "initiatePerms": "K",
            "projectDateStart": date_stamp(local_day(born)) if is_project else None,
            "projectDateFinish": date_stamp(local_day(born) + 300) if is_project else None,
            "scrumOwnerId": owner if is_scrum else None,
            "scrumMasterId": owner if is_scrum else None,
            "scrumSprintDuration": "1209600" if is_scrum else None,
            "scrumTaskResponsible": "A" if is_scrum else None,
            "type": kind,
        }
