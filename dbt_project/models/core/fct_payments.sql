-- One row per payment of an order, deleted ones too.
with payments as (
    select
        *,
        case when is_paid then {{ local_date('paid_at') }} end as paid_date
    from {{ ref('stg_bitrix24__payments') }}
),

-- an order belongs to a deal, or to an invoice of one
owners as (
    select
        orders.order_id,
        coalesce(
            min(case when orders.owner_type_id = 2 then orders.owner_id end),
            min(case when orders.owner_type_id = 31 then invoices.deal_id end)
        ) as deal_id

    from {{ ref('stg_bitrix24__order_entities') }} as orders
    -- one comparison: with the type beside it DuckDB compares every row with every other
    left join {{ ref('fct_invoices') }} as invoices
        on invoices.invoice_id = case orders.owner_type_id when 31 then orders.owner_id end
    where not orders.is_deleted
    group by orders.order_id
)

select
    -- ids
    payments.payment_id,
    payments.order_id,
    owners.deal_id,
    coalesce(payments.manager_id, 0) as manager_key,

    -- dimensions
    payments.pay_system_name,
    payments.currency,

    -- measures
    payments.amount,
    {{ to_rc('payments.amount', 'rates.rate_to_rc') }} as amount_rc,

    -- flags
    payments.is_paid,
    payments.is_return,
    payments.is_deleted,
    (
        not payments.is_deleted
        and case
            when owners.deal_id is not null then coalesce(deals.is_in_scope, false)
            else not {{ in_var_list('coalesce(payments.manager_id, 0)', 'excluded_user_ids') }}
        end
    ) as is_in_scope,

    -- times
    payments.due_date,
    case when payments.is_paid then payments.paid_at end as paid_at,
    payments.paid_date,
    payments.billed_at as created_at,
    {{ local_date('payments.billed_at') }} as created_date,
    payments.deleted_at,
    payments.loaded_at

from payments
left join owners on owners.order_id = payments.order_id
left join {{ ref('int_deals__scoped') }} as deals on deals.deal_id = owners.deal_id
left join {{ ref('int_fx_rates__periods') }} as rates
    on
        rates.currency = payments.currency
        and coalesce(payments.paid_date, {{ as_of_date() }}) >= rates.valid_from
        and coalesce(payments.paid_date, {{ as_of_date() }}) < rates.valid_to
