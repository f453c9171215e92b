-- One row per counted won deal of a known client: which of the client's sales it is.
with won as (
    select
        deals.deal_id,
        links.client_key,
        closed.won_at

    from {{ ref('int_deals__scoped') }} as deals
    inner join {{ ref('int_deals__closed') }} as closed on closed.deal_id = deals.deal_id
    inner join {{ ref('int_client_links') }} as links on links.entity = 'deal' and links.entity_id = deals.deal_id
    where deals.is_in_scope and deals.outcome = 'won' and links.client_key <> 'unknown'
)

select
    deal_id,
    client_key,
    won_at,
    row_number() over (partition by client_key order by won_at, deal_id) as client_won_number

from won
