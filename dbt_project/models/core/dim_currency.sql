-- One row per currency of the portal.
select
    currency,
    name,
    currency = {{ reporting_currency() }} as is_reporting,
    is_base and is_listed as is_base,
    decimals

from {{ ref('stg_bitrix24__currencies') }}
where currency is not null
