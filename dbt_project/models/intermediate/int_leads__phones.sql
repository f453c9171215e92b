-- One row per lead and phone number of it, hashed.
{{ config(materialized='table') }}

with listed as (
    select lead_id, unnest({{ json_elements('phones') }}) as phone
    from {{ ref('int_leads__scoped') }}
),

hashed as (
    select lead_id, {{ phone_hash(json_text('phone', '$.VALUE')) }} as phone_hash
    from listed
)

select distinct lead_id, phone_hash
from hashed
where phone_hash is not null
