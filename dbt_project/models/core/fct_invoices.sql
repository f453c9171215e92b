-- One row per smart invoice, deleted ones too.
with invoices as (
    select
        *,
        coalesce(closed_date, {{ as_of_date() }}) as rate_date
    from {{ ref('int_items__resolved') }}
    where entity = 'invoice'
)

select
    -- ids
    invoices.item_id as invoice_id,
    invoices.pipeline_key,
    invoices.stage_id,
    invoices.manager_key,
    invoices.client_key,
    invoices.deal_id,

    -- dimensions
    invoices.title,
    invoices.outcome,
    invoices.currency,

    -- measures
    invoices.amount,
    {{ to_rc('invoices.amount', 'rates.rate_to_rc') }} as amount_rc,

    -- flags
    coalesce(invoices.rate_date < rates.first_rate_date, false) as is_fx_approximate,
    invoices.is_deleted,
    invoices.is_in_scope,

    -- times
    invoices.close_date as due_date,
    invoices.closed_at,
    case when invoices.outcome = 'won' then invoices.closed_at end as paid_at,
    case when invoices.outcome = 'won' then invoices.closed_date end as paid_date,
    invoices.created_at,
    invoices.created_date,
    invoices.modified_at,
    invoices.deleted_at,
    invoices.loaded_at

from invoices
left join {{ ref('int_fx_rates__periods') }} as rates
    on
        rates.currency = invoices.currency
        and invoices.rate_date >= rates.valid_from
        and invoices.rate_date < rates.valid_to
