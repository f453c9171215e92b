-- In each month with a sale somebody is the first by sum and somebody by number (C22).
select period_month
from {{ ref('manager_performance') }}
where deals_won > 0
group by period_month
having min(rank_revenue) <> 1 or min(rank_deals_won) <> 1
