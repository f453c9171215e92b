"""The log of every task: creation, moves, time, marks; one packed entry each."""

from __future__ import annotations

from demo.world.clock import portal_stamp
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.packed import Packed, PackedTable


class TaskHistory:
    """Writes down what happens to tasks."""

    def __init__(self, engine: Engine) -> None:
        """Wait for changes."""
        self._engine = engine
        self._table = PackedTable("task_history", self._unpack, last_id=16_000)
        self._users: dict[str, Row] = {}
        engine.tables["task_history"] = self._table
        engine.hear("task changed", self._on_change)

    def forget(self, task_ids: set[int]) -> list[int]:
        """Delete the entries of tasks and return their ids."""
        packed = self._table.packed
        gone = [row_id for row_id in packed if packed.packed(row_id)[0] in task_ids]
        for row_id in gone:
            del packed[row_id]
        return gone

    def _on_change(self, task_id: int, code: str, before: str | None, after: str | None) -> None:
        task = self._engine.tables["tasks"].rows[task_id]
        user = task["createdBy"] if code == "NEW" else task["responsibleId"]
        self._table.append((task_id, self._engine.now, code, before, after, user))

    def _unpack(self, row_id: int, values: Packed) -> Row:
        task_id, moment, code, before, after, user = values
        return {
            "id": row_id,
            "taskId": task_id,
            "createdDate": portal_stamp(moment),
            "field": code,
            "value": {"from": before, "to": after},
            "user": self._user(user),
        }

    def _user(self, user_id: str) -> Row:
        if user_id not in self._users:
            user = self._engine.tables["users"].rows.get(int(user_id or 0), {})
            login = (user.get("EMAIL") or "").partition("@")[0]
            names = {"name": user.get("NAME", ""), "lastName": user.get("LAST_NAME", "")}
            self._users[user_id] = {
                "id": int(user_id or 0), **names, "secondName": user.get("SECOND_NAME", ""), "login": login
            }  # fmt: skip
        return self._users[user_id]
