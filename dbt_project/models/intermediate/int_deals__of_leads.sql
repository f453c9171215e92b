-- One row per lead that became in-scope deals: the first deal, and the first that was won.
with deals as (
    select deal_id, lead_id
    from {{ ref('int_deals__scoped') }}
    where is_in_scope and lead_id is not null
),

ranked as (
    select
        deals.lead_id,
        deals.deal_id,
        closed.won_at,
        row_number() over (
            partition by deals.lead_id
            order by case when closed.won_at is null then 1 else 0 end, closed.won_at, deals.deal_id
        ) as won_number
    from deals
    left join {{ ref('int_deals__closed') }} as closed on closed.deal_id = deals.deal_id
)

select
    lead_id,
    min(deal_id) as converted_deal_id,
    max(case when won_number = 1 and won_at is not null then deal_id end) as won_deal_id
from ranked
group by lead_id
