-- One row per card of a ticket and custom field that tickets use (their topics, var csat_field), where it is filled;
-- of a field with several values the first one. Deals have entity type 2.
{{ config(materialized='table') }}
{% set csat_field = (var('csat_field') or '') | upper -%}
{% set found = namespace(fields=[]) -%}
{% if execute -%}
    {% set topics = run_query(
        "select distinct upper(trim(topic_field)) from " ~ source('files', 'support_sources')
        ~ " where lower(trim(source_type)) = 'pipeline' and trim(topic_field) <> ''"
    ).columns[0].values() | list -%}
    {% for field in custom_fields('CRM_DEAL', 'deals')
        if field.field_code | upper in topics or field.field_code | upper == csat_field -%}
        {% do found.fields.append(field) -%}
    {% endfor -%}
    {% if csat_field and not run_query(
        "select 1 from " ~ source('bitrix24', 'custom_fields') ~ " where upper(field_name) = " ~ literal(csat_field)
        ~ " limit 1"
    ).rows -%}
        {{ exceptions.raise_compiler_error(
            "var 'csat_field' is '" ~ var('csat_field') ~ "', but the portal has no field of that code."
            ~ " Take one of a smart process or of deals, such as UF_CRM_2_1717700004."
        ) }}
    {% endif -%}
{% endif -%}
with used as (
    select distinct entity_type_id, upper(topic_field) as field_code
    from {{ ref('stg_files__support_sources') }}
    -- what is no code of a field would be no path in a JSON either
    where source_type = 'process' and {{ fits_whole('topic_field', "'[A-Za-z0-9_]+'") }}
    {%- if csat_field %}
    union
    select distinct entity_type_id, {{ literal(csat_field) }} as field_code
    from {{ ref('stg_files__support_sources') }}
    where source_type = 'process'
    {%- endif %}
),

sent as (
    select distinct
        items.entity_type_id,
        items.item_id,
        used.field_code,
        ({{ list_of_values("json_extract_string(items.custom_fields, '$.\"' || used.field_code || '\"')") }})[1] as value
    from {{ ref('stg_bitrix24__process_items') }} as items
    -- a line without a type is about all of them
    inner join used on items.entity_type_id = coalesce(used.entity_type_id, items.entity_type_id)
),

options as (
    select field_code, option_id, max(label) as label
    from {{ ref('stg_bitrix24__custom_field_options') }}
    group by field_code, option_id
)

select
    sent.entity_type_id,
    sent.item_id,
    sent.field_code,
    coalesce(options.label, sent.value) as value
from sent
left join options on options.field_code = sent.field_code and options.option_id = {{ to_id('sent.value') }}
where {{ to_code('sent.value') }} is not null
{%- for field in found.fields %}

union all

select
    2 as entity_type_id,
    {{ to_id('source.id') }} as item_id,
    {{ literal(field.field_code | upper) }} as field_code,
    cast({{ custom_field_value(field) }} as varchar) as value
from {{ source('bitrix24', 'deals') }} as source
cross join ({{ custom_field_labels('CRM_DEAL', [field]) }}) as labels
where {{ custom_field_value(field) }} is not null
{%- endfor %}

-- depends_on: {{ ref('stg_bitrix24__statuses') }}, {{ ref('dim_manager') }}
-- depends_on: {{ source('bitrix24', 'deals') }}, {{ source('bitrix24', 'custom_fields') }}
-- depends_on: {{ source('ops', 'custom_field_names') }}, {{ source('files', 'support_sources') }}
