"""Open lines: the chats behind activities of the provider IMOPENLINES_SESSION, written out message by message."""

from __future__ import annotations

import random

from demo.world.clock import MINUTE_S, portal_stamp
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.packed import Packed, PackedTable

# id, name, connector
LINES = ((1, "Сайт и Telegram", "telegrambot"), (2, "ВКонтакте", "vkgroup"), (5, "Сервис (закрыта)", "livechat"))
FIRST_SESSION_ID, FIRST_CHAT_ID, FIRST_GUEST_ID = 321, 1763, 100_000
BOT_ID = "99999"
MESSAGES_PER_SESSION = 40  # ids of messages set aside for one session
CLIENT_TEXTS = (
    "Добрый день! Есть насос ЦНС 60-330?",
    "Сколько стоит?",
    "Когда доставка?",
    "спасибо 👍",
    "[b]срочно[/b]",
)
OPERATOR_TEXTS = (
    "Здравствуйте! Уточняю наличие.",
    "Подготовим КП; на какую почту?",
    "Срок поставки 14 дней",
    "Спасибо!",
)
OWNER_NAMES = {"1": "LEAD", "2": "DEAL", "3": "CONTACT", "4": "COMPANY"}


class OpenLines:
    """Gives every chat activity its session; a message shows once its moment has come."""

    def __init__(self, engine: Engine) -> None:
        """Write the lines, and wait for chats."""
        self._engine = engine
        self._dice = Dice(engine.seed, "open lines")
        self._table = PackedTable("openline_sessions", self._unpack, last_id=FIRST_SESSION_ID - 1)
        engine.tables["openline_sessions"] = self._table
        for line, name, _ in LINES:
            engine.tables["openline_configs"].put(line, self._line(line, name))
        engine.hear("IMOPENLINES_SESSION", self._on_chat)

    def _on_chat(self, _: int, activity: Row, start: int, __: int) -> None:
        line = self._dice.weighted((1, 2, 5), (70, 25, 5))
        seed = self._dice.rng.getrandbits(32)
        owner = (activity["OWNER_TYPE_ID"], activity["OWNER_ID"])
        session = self._table.append((start, activity["RESPONSIBLE_ID"], line, *owner, seed))
        activity["ASSOCIATED_ENTITY_ID"] = str(session)

    def _unpack(self, session: int, values: Packed) -> Row:
        start, operator, line, owner_type, owner_id, seed = values
        rng = random.Random(seed)
        number = session - FIRST_SESSION_ID
        chat, guest = FIRST_CHAT_ID + number, str(FIRST_GUEST_ID + number)
        vote = rng.choice((0, 0, 0, 5, 4, 1))
        messages = self._messages(rng, 85_001 + number * MESSAGES_PER_SESSION, chat, start, operator, guest)
        connector = next(kind for line_id, _, kind in LINES if line_id == line)
        return {
            "chatId": chat,
            "sessionId": session,
            "canJoin": "Y",
            "canVoteHead": "Y",
            "sessionVoteHead": vote if start + 3600 <= self._engine.now else 0,
            "sessionCommentHead": None,
            "userId": f"chat{chat}",
            "message": messages,
            "usersMessage": {f"chat{chat}": [int(key) for key in messages]},
            "users": {
                **self._operator(operator),
                guest: _person(guest, "Гость", "", connector=True),
                BOT_ID: _person(BOT_ID, "Бот", "линии", bot=True),
            },
            "openlines": [],
            "userInGroup": [],
            "userInChat": {str(chat): [int(operator), int(guest)]},
            "userBlockChat": [],
            "chat": {
                str(chat): {
                    "id": chat,
                    "name": f"Гость №{number} — {LINES[0][1]}",
                    "owner": int(operator),
                    "type": "lines",
                    "entityType": "LINES",
                    "entityId": f"{connector}|{line}|{chat}|{guest}",
                    "entityData1": f"Y|{OWNER_NAMES[owner_type]}|{owner_id}|N|N|{session}|{start}|0|0|0",
                    "entityData2": f"{OWNER_NAMES[owner_type]}|{owner_id}",
                    "messageCount": len(messages),
                    "dateCreate": portal_stamp(start),
                }
            },
            "files": [],
        }

    def _messages(
        self, rng: random.Random, first_id: int, chat: int, start: int, operator: str, guest: str
    ) -> dict[str, Row]:
        moment, messages = start, {}
        is_answered = rng.random() < 0.92
        for number in range(rng.randint(2, 8)):
            is_client = number % 2 == 0 or not is_answered
            sender = guest if is_client else operator
            text = rng.choice(CLIENT_TEXTS if is_client else OPERATOR_TEXTS)
            if number == 1:
                chance = rng.random()
                if chance < 0.3:
                    sender, text = "0", "Оператор подключился к диалогу"  # the system speaks as user 0
                elif chance < 0.5:
                    sender, text = BOT_ID, "Спасибо за обращение! Оператор скоро ответит."
            if moment > self._engine.now:
                break
            messages[str(first_id + number)] = {
                "id": str(first_id + number),
                "chatid": str(chat),
                "senderid": sender,
                "recipientid": f"chat{chat}",
                "date": portal_stamp(moment),
                "text": text,
                "textlegacy": text,
                "params": {} if rng.random() < 0.5 else [],
            }
            moment += rng.randint(20, 6 * MINUTE_S)
        # a map promises no order
        keys = list(messages)
        rng.shuffle(keys)
        return {key: messages[key] for key in keys}

    def _operator(self, user_id: str) -> dict[str, Row]:
        user = self._engine.tables["users"].rows.get(int(user_id))
        if user is None:
            return {}
        return {user_id: _person(user_id, user["NAME"], user["LAST_NAME"])}

    def _line(self, line: int, name: str) -> Row:
        return {
            "ID": str(line),
            "ACTIVE": "N" if "закрыта" in name else "Y",
            "LINE_NAME": name,
            "CRM": "Y",
            "CRM_CREATE": "lead",
            "CRM_SOURCE": "create" if line == 1 else f"{line}|OPENLINE",
            "QUEUE_TYPE": "evenly",
            "QUEUE_TIME": "60",
            "VOTE_MESSAGE": "Y",
            "WORKTIME_ENABLE": "N",
            "DATE_CREATE": portal_stamp(self._engine.now - line * 86_400),
            "DATE_MODIFY": portal_stamp(self._engine.now),
            "MODIFY_USER_ID": "1",
        }


def _person(user_id: str, first: str, last: str, *, connector: bool = False, bot: bool = False) -> Row:
    return {
        "id": user_id,
        "name": f"{first} {last}".strip(),
        "active": True,
        "firstName": first,
        "lastName": last,
        "workPosition": None,
        "extranet": connector,
        "network": False,
        "bot": bot,
        "connector": connector,
        "externalAuthId": "imconnector" if connector else "default",
        "status": None,
        "lastActivityDate": False,
        "departments": [],
        "phones": False,
        "mobileLastDate": False,
        "type": "user",
    }
