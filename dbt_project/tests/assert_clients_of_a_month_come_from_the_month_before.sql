-- C15: active at the end = at the start + new + back - lost, and the end of a month is the start of the next.
with months as (
    select
        *,
        lag(clients_active_end) over (order by period_month) as previous_end
    from {{ ref('client_retention') }}
)

select *
from months
where
    clients_active_end <> clients_active_start + clients_new + clients_reactivated - clients_churned
    or clients_active_start <> coalesce(previous_end, 0)
