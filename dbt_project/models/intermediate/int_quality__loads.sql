-- One row per check of what was loaded and list, file or entity that it looks at.
with runs as (
    select run_id, as_of from {{ source('ops', 'sync_runs') }}
),

reads as (
    select
        entities.entity,
        runs.as_of,
        coalesce(entities.note, '') as note,
        row_number() over (partition by entities.entity order by runs.as_of desc) as place
    from {{ source('ops', 'sync_entities') }} as entities
    inner join runs on runs.run_id = entities.run_id
    -- a list that no run has looked for in a month is none of this portal any more
    where runs.as_of > {{ shift_hours(as_of(), -24 * 30) }}
),

-- the newest comparison of each list with the portal
comparisons as (
    select
        *,
        row_number() over (partition by entity order by checked_at desc) as place
    from {{ source('ops', 'id_checks') }}
),

files as (
    select * from {{ source('ops', 'input_files') }}
),

counted as (
    {% for entity in [
        'leads', 'deals', 'contacts', 'companies', 'activities', 'calls', 'tasks', 'smart_invoices', 'process_items'
    ] -%}
    select
        '{{ entity }}' as entity,
        {{ count_if('not is_deleted') }} as row_count,
        {{ count_if('deleted_at > ' ~ shift_hours(as_of(), -24)) }} as deleted_lately
    from {{ ref('stg_bitrix24__' ~ entity) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    'last_load_hours' as check_name,
    entity as subject,
    round(cast({{ seconds_between('max(as_of)', as_of()) }} as double) / 3600, 2) as value,
    false as is_excused,
    cast(null as varchar) as note
from reads
where note = ''
group by entity

union all

select 'list_not_read', entity, 1, false, note from reads where place = 1 and note <> ''

union all

select
    'ids_not_equal',
    entity,
    case when is_equal then 0 else greatest(missing + extra, 1) end,
    false,
    nullif(note, '')
from comparisons
where place = 1

union all

select
    'last_proof_hours',
    entity,
    round(cast({{ seconds_between('max(checked_at)', as_of()) }} as double) / 3600, 2),
    false,
    null
from comparisons
where is_equal
group by entity

union all

-- a few rows may always go
select 'deleted_share', entity, {{ ratio('deleted_lately', 'row_count + deleted_lately') }}, deleted_lately <= 20, null
from counted

union all

select
    'details_not_read',
    detail || case when coalesce(owner_type, '') <> '' then '/' || owner_type else '' end,
    owners - owners_read,
    false,
    case when owners_refused > 0 then 'Портал отказал: ' || cast(owners_refused as varchar) end
from {{ source('ops', 'detail_coverage') }}

union all

select 'source_rows', entity, row_count, false, null from counted

union all

select
    'input_file_refused',
    file_name,
    case when is_accepted then 0 else 1 end,
    false,
    case
        when not is_accepted
            then coalesce('Строка ' || cast(row_number as varchar) || ', ', '')
                || coalesce('столбец ' || nullif(column_name, '') || ': ', '') || coalesce(error, '')
        else nullif(note, '')
    end
from files

union all

select 'input_file_rows', file_name, coalesce(rows, 0), false, null from files

union all

select 'schema_changes', entity_id, count(*), false, null
from {{ source('ops', 'schema_changes') }}
where seen_at > {{ shift_hours(as_of(), -24) }}
group by entity_id
