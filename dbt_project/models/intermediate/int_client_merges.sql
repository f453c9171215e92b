-- One row per client key that was merged away: the key that stands for it now, chains followed to their end. A chain that
-- goes round in a circle has none; its clients stay as they are.
{% set longest_chain = 100 %}
with recursive given as (
    select old_key, new_key from {{ ref('stg_files__client_merge_map') }}
),

shipped as (
    select
        upper(trim(old_key)) as old_key,
        upper(trim(new_key)) as new_key
    from {{ ref('client_merge_map') }}
),

-- a line of the file replaces that of the seed for the same client
pairs as (
    select old_key, new_key from given
    union all
    select shipped.old_key, shipped.new_key
    from shipped
    left join given on given.old_key = shipped.old_key
    where given.old_key is null
),

followed as (
    select old_key, new_key, 1 as step_count from pairs
    union all
    select followed.old_key, pairs.new_key, followed.step_count + 1 as step_count
    from followed
    inner join pairs on pairs.old_key = followed.new_key
    where followed.step_count < {{ longest_chain }}
),

ranked as (
    select *, row_number() over (partition by old_key order by step_count desc, new_key) as chain_end
    from followed
)

select old_key, new_key
from ranked
where chain_end = 1 and step_count < {{ longest_chain }}
