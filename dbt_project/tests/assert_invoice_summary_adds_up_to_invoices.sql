-- The sums of invoice_summary are those of the counted invoices up to the running month.
{% set this_month = month_of(as_of_date()) %}
with mart as (
    select
        coalesce(sum(invoices_created), 0) as invoices_created,
        coalesce(sum(invoices_amount), 0) as invoices_amount,
        coalesce(sum(invoices_paid), 0) as invoices_paid,
        coalesce(sum(paid_amount), 0) as paid_amount,
        coalesce(sum(invoices_overdue), 0) as invoices_overdue
    from {{ ref('invoice_summary') }}
),

invoices as (
    select * from {{ ref('fct_invoices') }} where is_in_scope
),

created as (
    select count(*) as invoices, coalesce(sum(amount_rc), 0) as amount
    from invoices
    where {{ month_of('created_date') }} <= {{ this_month }}
),

paid as (
    select count(*) as invoices, coalesce(sum(amount_rc), 0) as amount
    from invoices
    where {{ month_of('paid_date') }} <= {{ this_month }}
),

overdue as (
    select count(*) as invoices from invoices where closed_at is null and due_date < {{ as_of_date() }}
)

select *
from mart
cross join created
cross join paid
cross join overdue
where
    mart.invoices_created <> created.invoices
    or mart.invoices_amount <> created.amount
    or mart.invoices_paid <> paid.invoices
    or mart.paid_amount <> paid.amount
    or mart.invoices_overdue <> overdue.invoices
