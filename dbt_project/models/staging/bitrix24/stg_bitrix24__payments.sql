-- One row per payment of an order, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'payments') }}
)

select
    -- ids
    {{ to_id('id') }} as payment_id,
    {{ to_id('order_id') }} as order_id,
    {{ to_id('responsible_id') }} as manager_id,

    -- dimensions
    {{ to_text('account_number') }} as payment_number,
    {{ to_id('pay_system_id') }} as pay_system_id,
    {{ to_text('pay_system_name') }} as pay_system_name,
    {{ to_currency('currency') }} as currency,

    -- measures; the amount is in the row's currency, not converted
    {{ to_money('sum') }} as amount,

    -- flags
    {{ to_flag('paid') }} as is_paid,
    {{ to_flag('is_return') }} as is_return,

    -- times
    {{ to_instant('date_bill') }} as billed_at,
    {{ to_calendar_date('date_pay_before') }} as due_date,
    {{ to_instant('date_paid') }} as paid_at,
    {{ to_calendar_date('pay_return_date') }} as return_date,
    -- the list is read whole: a row that the latest reading did not bring has left the portal
    _deleted_at is not null or _loaded_at < max(_loaded_at) over () as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
