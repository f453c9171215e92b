-- One row per currency of the portal. Renames, casts, and RUR as RUB.
with source as (
    select * from {{ source('bitrix24', 'currencies') }}
),

renamed as (
    select
        {{ to_currency('currency') }} as currency,
        {{ to_text('full_name') }} as name,
        {{ to_decimal('amount', 18, 6) }} as rate_amount,
        {{ to_int('amount_cnt') }} as rate_nominal,
        {{ to_int('decimals') }} as decimals,
        {{ to_flag('base') }} as is_base,
        -- the portal lists only what exists; a row kept from an earlier list is gone
        _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
        {{ to_instant('_loaded_at') }} as loaded_at,
        -- a portal may list the rouble under its old code too: the newest list, then the base, then the new code wins
        row_number() over (
            partition by {{ to_currency('source.currency') }}
            order by
                source._loaded_at desc,
                case when {{ to_flag('source.base') }} then 0 else 1 end,
                case when upper(trim(source.currency)) = 'RUR' then 1 else 0 end
        ) as code_number
    from source
)

select
    currency,
    name,
    rate_amount,
    rate_nominal,
    decimals,
    is_base,
    is_listed,
    loaded_at
from renamed
where code_number = 1
