-- Month by month up to the running one, loss_analysis holds every lost deal with its amount, and every junk lead.
with mart as (
    select period_month, entity, sum(deals_lost) as losses, sum(lost_amount) as amount
    from {{ ref('loss_analysis') }}
    group by period_month, entity
),

losses as (
    select {{ month_of('lost_date') }} as period_month, 'deal' as entity, amount_rc
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'lost'
    union all
    select {{ month_of('closed_date') }} as period_month, 'lead' as entity, amount_rc
    from {{ ref('fct_leads') }}
    where is_in_scope and outcome = 'junk' and closed_date is not null
),

facts as (
    select period_month, entity, count(*) as losses, {{ sum_money('amount_rc') }} as amount
    from losses
    where period_month <= {{ month_of(as_of_date()) }}
    group by period_month, entity
)

select
    coalesce(mart.period_month, facts.period_month) as period_month,
    coalesce(mart.entity, facts.entity) as entity,
    mart.losses as mart_losses,
    facts.losses as fact_losses

from mart
full outer join facts on facts.period_month = mart.period_month and facts.entity = mart.entity
where
    coalesce(mart.losses, 0) <> coalesce(facts.losses, 0)
    or coalesce(mart.amount, 0) <> coalesce(facts.amount, 0)
