"""A company small enough to work out every answer by hand; what a user of the sales department must not see says so.

1 Компания
    2 Отдел продаж          10 Орлова
        3 Группа А          11 Белов
    4 Маркетинг             12 Тайнова
0 (no department)           13 Тайнин, 0 nobody
"""

from warehouse.publish import TableSpec

SECRETS = ("тайн", "777")  # in every hidden text, in every hidden number

SCRIPT = """
create schema core;
create schema marts;
create table core.dim_department as select * from (values
    (0, 'Не определено', null, 'Не определено', false),
    (1, 'Компания', null, 'Компания', false),
    (2, 'Отдел продаж', 1, 'Компания / Отдел продаж', false),
    (3, 'Группа А', 2, 'Компания / Отдел продаж / Группа А', false),
    (4, 'Маркетинг', 1, 'Компания / Маркетинг', false)
) as v (department_key, name, parent_key, path, is_deleted);
create table core.bridge_department as select * from (values
    (0, 0, 0), (1, 1, 0), (1, 2, 1), (1, 3, 2), (1, 4, 1), (2, 2, 0), (2, 3, 1), (3, 3, 0), (4, 4, 0)
) as v (ancestor_key, descendant_key, distance);
create table core.dim_manager as select * from (values
    (0, 'Тайна-0', 0), (10, 'Орлова Анна', 2), (11, 'Белов Иван', 3), (12, 'Тайнова Вера', 4), (13, 'Тайнин Олег', 0)
) as v (manager_key, full_name, department_key);
create table core.dim_channel as
    select * from (values ('ads', 'Реклама'), ('site', 'Сайт')) as v (channel_key, name_ru);
create table core.fct_deals as select
    deal_id, manager_key, title, cast(amount as decimal(18, 2)) as amount_rc, channel_key, is_won,
    cast(created as date) as created_date, cast(created || ' 09:00:00+00' as timestamptz) as created_at
from (values
    (1, 10, 'Поставка 1', 100, 'ads', true, '2026-01-15'),
    (2, 10, 'Поставка 2', 250.5, 'site', true, '2026-02-01'),
    (3, 11, '100% предоплата', 300, 'ads', false, '2026-02-28'),
    (4, 11, 'скидка_5', 50, 'ads', true, '2026-02-10'),
    (5, 12, 'Тайна-12', 777012, 'site', true, '2026-02-11'),
    (6, 13, 'Тайна-13', 777013, 'ads', false, '2026-03-01'),
    (7, 0, 'Тайна-0', 777000, 'site', false, '2026-03-31')
) as v (deal_id, manager_key, title, amount, channel_key, is_won, created);
create table core.fct_calls as
    select i as call_id, case when i > 2000 then 10 else 12 end as manager_key from range(1, 2011) as r (i);
create table marts.manager_performance as select * from (values
    (date '2026-02-01', 10, 2, 350, 2), (date '2026-02-01', 11, 3, 50, 3), (date '2026-02-01', 12, 4, 777012, 1)
) as v (period_month, manager_key, department_key, revenue, rank_revenue);
create table marts.department_plan as select * from (values
    (2, 1000), (3, 400), (4, 777444), (0, 777555)
) as v (department_key, plan_value);
create table marts.channel_roi as select * from (values ('ads', 777666)) as v (channel_key, spend);
"""

TABLES = [
    TableSpec("dim_department", "core.dim_department", ("department_key",), shared=True),
    TableSpec("bridge_department", "core.bridge_department", ("ancestor_key", "descendant_key"), shared=True),
    TableSpec("dim_manager", "core.dim_manager", ("manager_key",), "Сотрудники.", {"full_name": "Имя"}),
    TableSpec("dim_channel", "core.dim_channel", ("channel_key",), shared=True),
    TableSpec("fct_deals", "core.fct_deals", ("deal_id",), "Сделки."),
    TableSpec("fct_calls", "core.fct_calls", ("call_id",)),
    TableSpec(
        "manager_performance",
        "marts.manager_performance",
        ("period_month", "manager_key"),
        leaks=frozenset({"rank_revenue"}),
    ),
    TableSpec("department_plan", "marts.department_plan", ("department_key",)),
    TableSpec("channel_roi", "marts.channel_roi", ("channel_key",)),
]
