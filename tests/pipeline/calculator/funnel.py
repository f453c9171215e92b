"""Marts `deal_stage_progress`, `funnel_stage_conversion`, `funnel_stage_flow` (3.1 to 3.3)."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .facts import UNKNOWN_CLIENT, Deal, Facts
from .stages import StageOrder, Stay
from .values import Clock, as_money, first_of_month, median, ratio, total, two_digits

MartRow = dict[str, Any]
Counts = dict[str, Any]

HOUR = 3600
EXIT_KINDS = ("exits_moved", "exits_lost", "exits_forward", "exits_back", "exits_other")


class Progress:
    """Where one deal stands, and how far it came, in its current pipeline."""

    def __init__(self, deal: Deal, order: StageOrder) -> None:
        self.in_work = order.in_work_count(deal.pipeline_key)
        self.stays = [stay for stay in deal.stays if stay.pipeline_key == deal.pipeline_key]
        self.current = (order.position(deal.pipeline_key, deal.stage_id) or 1) if deal.is_open else None
        self.furthest = self._furthest(deal)
        in_work = [stay.position for stay in self.stays if stay.semantics == "P" and stay.position]
        self.lost_from = (in_work[-1] if in_work else 1) if deal.is_lost else None

    def _furthest(self, deal: Deal) -> int:
        if deal.is_won:
            return self.in_work + 1
        if not self.stays:
            return self.current or 1
        seen = [stay.position for stay in self.stays if stay.position]
        return max(1, min(self.in_work, max([*seen, self.current or 1])))

    def at(self, position: int) -> list[Stay]:
        """Stays at one position."""
        return [stay for stay in self.stays if stay.position == position]


def deal_stage_progress(facts: Facts) -> list[MartRow]:
    """Every deal at every stage of its pipeline's path."""
    rows = []
    for deal in facts.deals.values():
        progress = Progress(deal, facts.order)
        for position, stage_id in facts.order.paths.get(deal.pipeline_key, {}).items():
            rows.append(_at_stage(deal, progress, position, stage_id))
    return rows


def _at_stage(deal: Deal, progress: Progress, position: int, stage_id: str) -> MartRow:
    stays = progress.at(position)
    is_reached = progress.furthest >= position
    is_visited = deal.is_won if position == progress.in_work + 1 else bool(stays) or progress.current == position
    return {
        "deal_id": deal.id,
        "pipeline_key": deal.pipeline_key,
        "stage_id": stage_id,
        "stage_position": position,
        "cohort_month": first_of_month(deal.created_date),
        "manager_key": deal.manager_key,
        "channel_key": deal.last_touch[0],
        "deal_type": deal.deal_type,
        "main_product_key": deal.main_product_key,
        "client_key": deal.client_key,
        "is_repeat_sale": deal.is_repeat_sale,
        "amount_rc": deal.amount_rc,
        "outcome": deal.outcome,
        "is_reached": is_reached,
        "is_visited": is_visited,
        "is_skipped": is_reached and not is_visited,
        "is_open_progress": deal.is_open and progress.furthest == position,
        "is_lost_progress": deal.is_lost and progress.furthest == position,
        "is_open_actual": progress.current == position,
        "is_lost_actual": progress.lost_from == position,
        "visits": len(stays),
        "stay_seconds": sum(stay.seconds or 0 for stay in stays),
        "has_open_stay": any(stay.left_at is None for stay in stays),
        "first_entered_at": min((stay.entered_at for stay in stays), default=None),
    }


def funnel_stage_conversion(facts: Facts, progress: Iterable[MartRow]) -> list[MartRow]:
    """Both funnels of every cell, all stages of the path."""
    cells: dict[tuple[Any, ...], dict[int, list[MartRow]]] = defaultdict(lambda: defaultdict(list))
    for row in progress:
        cell = (row["pipeline_key"], row["cohort_month"], row["manager_key"], row["channel_key"])
        cells[cell][row["stage_position"]].append(row)
    reopened = {deal.id for deal in facts.deals.values() if deal.reopen_count}
    rows = []
    for cell, stages in cells.items():
        labels = dict(zip(("pipeline_key", "cohort_month", "manager_key", "channel_key"), cell, strict=True))
        won_position = facts.order.in_work_count(cell[0]) + 1
        for funnel_type in ("conversion", "classic"):
            funnel = _funnel(funnel_type, stages, won_position, reopened)
            rows += [{"funnel_type": funnel_type, **labels, **stage} for stage in funnel]
    return rows


def _clients(deals: Iterable[MartRow]) -> int:
    keys = [deal["client_key"] for deal in deals]
    return len(set(keys) - {UNKNOWN_CLIENT}) + keys.count(UNKNOWN_CLIENT)


def _funnel(funnel_type: str, stages: dict[int, list[MartRow]], won_position: int, reopened: set[int]) -> list[MartRow]:
    is_conversion = funnel_type == "conversion"
    entered_by, standing = ("is_reached", "progress") if is_conversion else ("is_visited", "actual")
    funnel: list[MartRow] = []
    for position in sorted(stages):
        deals = stages[position]
        entered = [deal for deal in deals if deal[entered_by]]
        lost = [deal for deal in deals if deal[f"is_lost_{standing}"]]
        previous = funnel[-1]["deals_entered"] if funnel else len(deals)
        funnel.append(
            {
                "stage_id": deals[0]["stage_id"],
                "stage_position": position,
                "is_won_stage": position == won_position,
                "deals_total": len(deals),
                "deals_entered": len(entered),
                "clients_entered": _clients(entered),
                "amount_entered": as_money(total(deal["amount_rc"] for deal in entered)),
                "deals_entered_prev": previous,
                "stage_conversion": ratio(len(entered), previous),
                "cumulative_conversion": ratio(len(entered), len(deals)),
                "deals_open": sum(deal[f"is_open_{standing}"] for deal in deals),
                "deals_lost": len(lost),
                "amount_lost": as_money(total(deal["amount_rc"] for deal in lost)),
                "lost_share": ratio(len(lost), len(entered)),
                "deals_skipped": sum(deal["is_skipped"] for deal in deals),
                "deals_returned": sum(deal["visits"] >= 2 for deal in deals),
                **_stay_times(deals, is_won_stage=position == won_position),
                "deals_reopened": sum(deal["deal_id"] in reopened for deal in deals) if position == 1 else 0,
            }
        )
    for stage, following in zip(funnel, [*funnel[1:], None], strict=True):
        dropped = stage["deals_entered"] - following["deals_entered"] if following else 0
        stage["deals_dropped"] = dropped if is_conversion else None
    return funnel


def _stay_times(deals: Iterable[MartRow], *, is_won_stage: bool) -> MartRow:
    left = [deal["stay_seconds"] for deal in deals if deal["visits"] and not deal["has_open_stay"]]
    if is_won_stage:
        left = []
    return {
        "deals_left": len(left),
        "stay_hours_sum": two_digits(sum(left), HOUR),
        "stay_hours_avg": two_digits(sum(left), HOUR * len(left)),
        "stay_hours_median": median(left, HOUR),
    }


def _exit_kind(stay: Stay, following: Stay) -> str:
    kind = "exits_other"
    if following.pipeline_key != stay.pipeline_key:
        kind = "exits_moved"
    elif following.semantics == "F":
        kind = "exits_lost"
    elif following.semantics == "S":
        kind = "exits_forward"
    elif stay.position and following.position and following.position != stay.position:
        kind = "exits_forward" if following.position > stay.position else "exits_back"
    return kind


def _no_counts() -> Counts:
    return dict.fromkeys(("entries", *EXIT_KINDS, "seconds", "amount_exits_lost"), 0)


def funnel_stage_flow(facts: Facts) -> list[MartRow]:
    """Entries and exits of P stages by day."""
    cells: dict[tuple[Any, ...], Counts] = defaultdict(_no_counts)
    for deal in facts.deals.values():
        for stay in deal.stays:
            if stay.semantics == "P":
                _count_stay(cells, deal, stay, facts.clock)
    rows = []
    for (pipeline, stage_id, day, manager, channel), counts in cells.items():
        exits = sum(counts[kind] for kind in EXIT_KINDS)
        rows.append(
            {
                "pipeline_key": pipeline,
                "stage_id": stage_id,
                "date_day": day,
                "manager_key": manager,
                "channel_key": channel,
                "entries": counts["entries"],
                "exits": exits,
                **{kind: counts[kind] for kind in EXIT_KINDS},
                "amount_exits_lost": as_money(counts["amount_exits_lost"]),
                "stay_hours_sum": two_digits(counts["seconds"], HOUR),
                "exit_conversion": ratio(
                    counts["exits_forward"], exits - counts["exits_moved"] - counts["exits_other"]
                ),
            }
        )
    return rows


def _count_stay(cells: dict[tuple[Any, ...], Counts], deal: Deal, stay: Stay, clock: Clock) -> None:
    def cell(moment: Any) -> Counts:
        return cells[stay.pipeline_key, stay.stage_id, clock.day(moment), deal.manager_key, deal.last_touch[0]]

    cell(stay.entered_at)["entries"] += 1
    if stay.left_at and stay.following:
        exits, kind = cell(stay.left_at), _exit_kind(stay, stay.following)
        exits[kind] += 1
        exits["seconds"] += stay.seconds or 0
        if kind == "exits_lost":
            exits["amount_exits_lost"] += deal.amount_rc or 0
