-- One row per amount received for a counted deal: its paid invoices, or its payments, by var revenue_basis.
{{ only_supported('revenue_basis', ['deal_amount', 'invoice_paid', 'payment']) }}
with deals as (
    select deal_id from {{ ref('int_deals__scoped') }} where is_in_scope
),

invoices as (
    select deal_id, paid_date, amount_rc
    from {{ ref('fct_invoices') }}
    where is_in_scope and outcome = 'won'
),

payments as (
    select
        deal_id,
        paid_date,
        -- the portal tells a return as a payment of its own
        case when is_return then -amount_rc else amount_rc end as amount_rc
    from {{ ref('fct_payments') }}
    where is_in_scope and is_paid and paid_date is not null
)

select
    deals.deal_id,
    received.paid_date as revenue_date,
    cast(coalesce(received.amount_rc, 0) as decimal(18, 2)) as revenue_rc
from {{ 'payments' if var('revenue_basis') == 'payment' else 'invoices' }} as received
inner join deals on deals.deal_id = received.deal_id
