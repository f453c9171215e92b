-- One row per telephone call, its legs collapsed (D18).
with calls as (
    select
        *,
        -- telephony leaves the currency of a free call empty
        coalesce(currency, {{ reporting_currency() }}) as cost_currency
    from {{ ref('int_calls__collapsed') }}
),

owners as (
    select * from {{ ref('int_client_owners') }}
)

select
    -- ids
    calls.call_id,
    calls.manager_key,
    calls.crm_entity_type,
    calls.crm_entity_id,
    calls.activity_id,
    coalesce(owners.client_key, 'unknown') as client_key,

    -- dimensions
    calls.direction,
    calls.result_code,
    calls.portal_number,
    calls.phone_hash,
    calls.cost_currency as currency,

    -- measures
    calls.duration_seconds,
    calls.vote,
    calls.cost,
    {{ to_rc('calls.cost', 'rates.rate_to_rc') }} as cost_rc,

    -- flags
    calls.is_callback,
    calls.is_connected,
    calls.is_missed,
    calls.is_short,
    calls.is_deleted,
    calls.is_in_scope,

    -- times
    calls.started_at,
    calls.started_date,
    calls.deleted_at,
    calls.loaded_at
from calls
left join owners
    on owners.entity_type = calls.crm_entity_type and owners.owner_id = calls.crm_entity_id
left join {{ ref('int_fx_rates__periods') }} as rates
    on rates.currency = calls.cost_currency
    and calls.started_date >= rates.valid_from
    and calls.started_date < rates.valid_to
