"""What people really type: the texts and slips that a pipeline has to survive, and how often they come."""

from __future__ import annotations

from collections.abc import Mapping

NUL = "\x00"

# by the running number of a deal or lead: each of these comes exactly once in every world large enough
ODD_TITLES: Mapping[int, str] = {
    17: f"Насос{NUL} ЦНС 60-330 {NUL}",
    19: "Поставка компрессора\nвторая строка\tс табуляцией",
    23: "🔥 Срочно!!! Клиент ждёт 👩🏽\u200d🔧 ⚙️",
    29: "ООО \"Ромашка\" — 'сервис' на «год»",
    31: "Кабель; муфта; лоток, 10%; --; <b>жирно</b> &amp; \\n",
    43: "   ",
    47: "Ёлка & Ко: договор № 5/2025 (доп. соглашение)",
}
TEST_TITLES = ("Тест", "тестовая сделка, не удалять", "TEST интеграции", "проверка формы (test)")
ODD_COMMENTS = (
    '[b]Позвонить[/b] после 15:00\nспросить про скидку; см. файл "КП.xlsx"',
    "Клиент сказал: «дорого» 🙁",
    f"вставлено из Excel\t12\t500{NUL}",
    "<p>Письмо &laquo;как есть&raquo;</p>",
)
# two phone numbers typed one after the other into the field of the amount: 22 digits before the dot
GLUED_PHONES = "7916123456789261234567.00"
GLUED_PHONES_DEAL = 11
MANY_ROWS = {37: 53, 41: 120}  # deal's number -> product rows, more than one page of them


def every(number: int, period: int, offset: int) -> bool:
    """Tell whether a running number is one of a regular series: so that even small worlds have each case."""
    return number % period == offset
