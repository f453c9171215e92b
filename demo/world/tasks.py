"""Tasks from creation to closing or oblivion, and the time people log on them."""

from __future__ import annotations

from functools import partial

from demo.world.clock import DAY_S, HOUR_S, MINUTE_S, portal_stamp, to_working_time
from demo.world.communication import Communication, Subject
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.quirks import ODD_COMMENTS, every
from demo.world.staff import Staff

WAITING, IN_PROGRESS, AWAITING_CONTROL, DONE, DEFERRED = "2", "3", "4", "5", "6"
OVERDUE, UNSEEN = "-1", "-2"
LATEST_TASKS = 300
DEAL_TITLES = (
    "Подготовить КП",
    "Отправить счёт",
    "Согласовать договор с юристом",
    "Выехать на объект",
    'Собрать комплект документов; проверить "спецификацию"',
    "Уточнить сроки у завода",
)
OTHER_TITLES = ("Отчёт за неделю", "Обновить прайс", "Инвентаризация склада 📦", "Собрание отдела", "тест задача")


class TaskBoard:
    """Creates tasks and moves them along."""

    def __init__(self, engine: Engine, staff: Staff, talk: Communication) -> None:
        """Start with an empty board."""
        self._engine = engine
        self._staff = staff
        self._talk = talk

    def for_deal(self, subject: Subject) -> None:
        """Create a task on a deal, sometimes with a card in its timeline."""
        deadline = self._deadline()
        title = f"{self._engine.pick(DEAL_TITLES)}: {subject.topic}"
        links = [f"D_{subject.owner_id}"]
        if self._engine.chance(0.1):
            links = [f"{'C' if kind == 3 else 'CO'}_{number}" for kind, number in subject.bindings] + links
        task = self._create(title, subject.user, links, deadline)
        card = self._talk.task_card(subject, task, deadline) if self._engine.chance(0.3) else None
        self._live(task, deadline, card)

    def internal(self) -> None:
        """Create a task that concerns no client."""
        deadline = self._deadline()
        self._live(self._create(self._engine.pick(OTHER_TITLES), self._staff.colleague(), [], deadline), deadline, None)

    def finish_one(self) -> None:
        """Let somebody finish one of the latest tasks that are still open."""
        latest = list(self._engine.tables["tasks"].rows.items())[-LATEST_TASKS:]
        waiting = [row_id for row_id, row in latest if row["status"] in (WAITING, IN_PROGRESS)]
        if waiting:
            self._finish(self._engine.pick(waiting), None)

    def _deadline(self) -> int | None:
        if self._engine.chance(0.15):
            return None
        return to_working_time(self._engine.now + self._engine.days(4))

    def _live(self, task: int, deadline: int | None, card: int | None) -> None:
        started = to_working_time(self._engine.now + self._engine.days(0.4))
        if deadline is not None:
            self._engine.at(deadline, lambda: self._miss_deadline(task))
        if self._engine.chance(0.04):
            self._engine.at(started, lambda: self._move(task, DEFERRED))
            return
        if self._engine.chance(0.05):
            return  # nobody ever opens it
        self._engine.at(started, lambda: self._move(task, IN_PROGRESS))
        if self._engine.chance(0.06):
            return  # begun and forgotten
        goal = deadline if deadline is not None else started + self._engine.days(3)
        late = self._engine.rng.randint(4 * HOUR_S, 9 * DAY_S) if self._engine.chance(0.27) else 0
        finish = goal + late if late else started + int((goal - started) * self._engine.rng.uniform(0.2, 1.0))
        finish = max(finish, started + 10 * MINUTE_S)
        self._log_time(task, started, finish)
        if self._engine.chance(0.1):
            self._engine.at(finish - 5 * MINUTE_S, lambda: self._move(task, AWAITING_CONTROL))
            if self._engine.chance(0.3):
                self._engine.at(finish - 2 * MINUTE_S, lambda: self._move(task, IN_PROGRESS))
        self._engine.at(finish, lambda: self._finish(task, card))

    def _log_time(self, task: int, started: int, finish: int) -> None:
        for _ in range(self._engine.rng.choices((0, 1, 2, 3), (52, 30, 13, 5))[0]):
            seconds = self._engine.rng.choice((600, 900, 1800, 3600, 5400, 7200)) + self._engine.rng.randint(0, 59)
            moment = self._engine.rng.randint(started, finish)
            self._engine.at(moment, partial(self._write_entry, task, seconds))

    def _write_entry(self, task_id: int, seconds: int) -> None:
        task = self._engine.tables["tasks"].rows.get(task_id)
        if task is None:
            return
        now = self._engine.now
        by_hand = self._engine.chance(0.3)
        # time typed in for a past day swaps the roles of the dates: CREATED_DATE is the day of the work
        worked = now - self._engine.rng.randint(1, 3) * DAY_S if by_hand else now
        row: Row = {
            "ID": "",
            "TASK_ID": str(task_id),
            "USER_ID": task["responsibleId"],
            "COMMENT_TEXT": self._engine.pick(("", "", "созвон", "чертежи; правки")),
            "SECONDS": str(seconds),
            "MINUTES": str(seconds // 60),
            "SOURCE": "2" if by_hand else "3",
            "CREATED_DATE": portal_stamp(worked),
            "DATE_START": portal_stamp(now if by_hand else now - seconds),
            "DATE_STOP": portal_stamp(now),
        }
        self._engine.add("time_entries", row, gaps=False)
        before = task["timeSpentInLogs"]
        task["timeSpentInLogs"] = str(int(before or 0) + seconds)
        self._engine.tell("task changed", task_id, "TIME_SPENT_IN_LOGS", before, task["timeSpentInLogs"])
        self._touch(task)

    def _miss_deadline(self, task_id: int) -> None:
        task = self._engine.tables["tasks"].rows.get(task_id)
        if task is not None and task["status"] in (WAITING, IN_PROGRESS):
            task["subStatus"] = OVERDUE  # a mark by the clock: changedDate stays

    def _move(self, task_id: int, status: str) -> None:
        task = self._engine.tables["tasks"].rows.get(task_id)
        if task is None or task["status"] == DONE:
            return
        now = portal_stamp(self._engine.now)
        self._engine.tell("task changed", task_id, "STATUS", task["status"], status)
        task["status"] = task["subStatus"] = status
        task["statusChangedDate"], task["statusChangedBy"] = now, task["responsibleId"]
        if status == IN_PROGRESS:
            task["dateStart"] = task["dateStart"] or now
            task["viewedDate"] = now
        self._touch(task)

    def _finish(self, task_id: int, card: int | None) -> None:
        self._move(task_id, DONE)
        task = self._engine.tables["tasks"].rows.get(task_id)
        if task is None:
            return
        task["closedDate"], task["closedBy"] = portal_stamp(self._engine.now), task["responsibleId"]
        task["mark"] = self._engine.pick(("P", "P", "N", None, None, None, ""))
        if task["mark"]:
            self._engine.tell("task changed", task_id, "MARK", None, task["mark"])
        if card is not None:
            self._talk.complete(card)

    def _touch(self, task: Row) -> None:
        task["changedDate"] = task["activityDate"] = portal_stamp(self._engine.now)
        task["changedBy"] = task["responsibleId"]

    def _create(self, title: str, user: str, links: list[str], deadline: int | None) -> int:
        now = portal_stamp(self._engine.now)
        number = self._engine.tables["tasks"].last_id
        creator = user if self._engine.chance(0.6) else self._staff.colleague()
        row: Row = {
            "id": "",
            "parentId": str(number - 1) if every(number, 25, 3) and self._engine.exists("tasks", number - 1) else "0",
            "title": title,
            "description": self._engine.pick(ODD_COMMENTS) if every(number, 30, 4) else "",
            "descriptionInBbcode": "Y",
            "mark": self._engine.pick((None, "")),
            "priority": self._engine.pick(("1", "1", "1", "2", "0")),
            "multitask": "N",
            "notViewed": "N",
            "replicate": "N",
            "stageId": "0",
            "createdBy": creator,
            "createdDate": now,
            "responsibleId": user,
            "changedBy": creator,
            "changedDate": now,
            "statusChangedBy": creator,
            "statusChangedDate": now,
            "closedBy": "0",
            "closedDate": None,
            "activityDate": now,
            "dateStart": None,
            "deadline": portal_stamp(deadline) if deadline is not None else None,
            "startDatePlan": None,
            "endDatePlan": None,
            "guid": f"{{{self._engine.rng.getrandbits(128):032x}}}",
            "xmlId": None,
            "commentsCount": "0",
            "allowChangeDeadline": "Y",
            "allowTimeTracking": "Y",
            "taskControl": "N",
            "timeEstimate": self._engine.pick(("0", "3600", "7200")),
            "timeSpentInLogs": None,
            "forkedByTemplateId": None,
            "groupId": self._engine.pick(("0", "0", "0", "12", "15")),
            "flowId": None,
            "sprintId": None,
            "viewedDate": None,
            "durationFact": None,
            "durationPlan": None,
            "durationType": "days",
            "status": WAITING,
            "subStatus": self._engine.pick((WAITING, UNSEEN)),
            "ufCrmTask": links or False,
            "auditors": [],
            "accomplices": [self._staff.colleague()] if self._engine.chance(0.1) else [],
            "tags": [],
            "group": [],
        }
        task_id = self._engine.add("tasks", row)
        self._engine.tell("task changed", task_id, "NEW", None, None)
        return task_id
