{# The raw column of a custom field, named as `to_column_name` of the extraction does: the code in lower case, with a hash
   where the code holds more than capitals, digits and single underscores. #}
{% macro custom_field_column(code) -%}
    {%- if modules.re.fullmatch('[A-Z0-9]+(_[A-Z0-9]+)*', code) -%} {{ return(code | lower) }}
    {%- else -%}
        {{ return(modules.re.sub('[^a-z0-9]+', '_', code | lower).strip('_') ~ '_' ~ local_md5(code)[:8]) }}
    {%- endif -%}
{%- endmacro %}

{# The custom fields of one CRM entity that raw has a column for, in the order in which they were first seen.
   entity: CRM_DEAL, ...; table: the raw table. Gives rows {field_code, column, name, type, is_multiple, dictionary}. #}
{% macro custom_fields(entity, table) -%}
    {%- set raw_table = source('bitrix24', table) -%}
    {%- set definitions = source('bitrix24', 'custom_fields') -%}
    {%- set names = source('ops', 'custom_field_names') -%}
    {%- set fields = [] -%}
    {%- if execute -%}
        {%- set present = adapter.get_columns_in_relation(raw_table) | map(attribute='name') | map('lower') | list -%}
        {%- set known = run_query(
            "select names.field_code, names.column_name, definitions.user_type_id, "
            ~ to_flag('definitions.multiple') ~ ", "
            ~ json_text('definitions.settings', '$.ENTITY_TYPE')
            ~ " from " ~ names ~ " as names left join " ~ definitions ~ " as definitions"
            ~ " on definitions.entity_id = names.entity_id"
            ~ " and upper(definitions.field_name) = upper(names.field_code)"
            ~ " where names.entity_id = '" ~ entity ~ "' order by names.first_seen_at, names.field_code"
        ) -%}
        {%- for row in known.rows if custom_field_column(row[0]) in present -%}
            {%- do fields.append({
                'field_code': row[0], 'column': custom_field_column(row[0]), 'name': row[1],
                'type': row[2], 'is_multiple': row[3], 'dictionary': row[4]
            }) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(fields) }}
{%- endmacro %}

{# One custom field as a readable value: labels for list options, names for employees, dates, numbers and flags typed;
   several values joined by a comma; what has no better form stays as the portal sent it. Coded fields look into the
   column of the same name in `labels`. #}
{% macro custom_field_value(field) -%}
    {%- set raw = 'source.' ~ adapter.quote(field.column) -%}
    {%- if field.type in ('enumeration', 'employee', 'crm_status') -%}
        {{ joined(
            list_of_values(raw),
            "coalesce(map_extract_value(labels." ~ adapter.quote(field.column) ~ ", element), '#' || element)"
        ) }}
    {%- elif field.type == 'file' -%}
        {# addresses of files may hold keys of the portal, so only the ids go on #}
        {{ joined(
            list_of_values(raw),
            "case when json_valid(element) and json_type(element) = 'OBJECT'"
            ~ " then json_extract_string(element, '$.id') end"
        ) }}
    {%- elif field.is_multiple -%} {{ joined(list_of_values(raw), 'element') }}
    {%- elif field.type == 'boolean' -%}
        case
            when lower(trim({{ raw }})) in ('y', '1', 'true') then true
            when lower(trim({{ raw }})) in ('n', '0', 'false') then false
        end
    {%- elif field.type == 'date' -%} {{ to_calendar_date(raw) }}
    {%- elif field.type == 'datetime' -%} {{ to_instant(raw) }}
    {%- elif field.type == 'integer' -%} {{ to_int(raw) }}
    {%- elif field.type == 'double' -%} try_cast({{ raw }} as double)
    {%- else -%} {{ to_text(raw) }}
    {%- endif -%}
{%- endmacro %}

{# A JSON array, an object, or a single value, as a list of texts; empty for every kind of nothing. #}
{% macro list_of_values(raw) -%}
    case
        when {{ to_code(raw) }} is null then cast([] as varchar[])
        when json_valid({{ raw }}) and json_type({{ raw }}) = 'ARRAY' then from_json({{ raw }}, '["VARCHAR"]')
        else [trim({{ raw }})]
    end
{%- endmacro %}

{# The elements of a list, each put through an expression on `element`, joined by a comma; null without any. #}
{% macro joined(list, expression) -%}
    nullif(array_to_string(list_transform({{ list }}, lambda element: {{ expression }}), ', '), '')
{%- endmacro %}

{# One row: for each coded field a map of its codes to their labels. #}
{% macro custom_field_labels(entity, fields) -%}
    {%- set options = ref('stg_bitrix24__custom_field_options') -%}
    {%- set statuses = ref('stg_bitrix24__statuses') -%}
    {%- set managers = ref('dim_manager') -%}
    select
        {%- for field in fields if field.type in ('enumeration', 'employee', 'crm_status') %}
        (
            select map_from_entries(list((code, label)))
            from (
                {%- if field.type == 'enumeration' %}
                select cast(option_id as varchar) as code, max(label) as label from {{ options }}
                where entity_code = {{ literal(entity) }} and field_code = {{ literal(field.field_code | upper) }}
                {%- elif field.type == 'employee' %}
                select cast(manager_key as varchar) as code, max(full_name) as label from {{ managers }}
                {%- else %}
                select status_id as code, max(name) as label from {{ statuses }}
                where dictionary_code = {{ literal(field.dictionary or '') }}
                {%- endif %}
                group by code
            ) as coded
            where code is not null
        ) as {{ adapter.quote(field.column) }},
        {%- endfor %}
        true as is_one_row
{%- endmacro %}

{# The whole table of custom fields of one entity: key expression and name, then a column per field. #}
{% macro custom_field_table(entity, table, key, key_name) -%}
    {%- set fields = custom_fields(entity, table) -%}
    with labels as (
        {{ custom_field_labels(entity, fields) }}
    )

    select
        {{ key }} as {{ key_name }}
        {%- for field in fields %},
        {{ custom_field_value(field) }} as {{ adapter.quote(field.name) }}
        {%- endfor %}

    from {{ source('bitrix24', table) }} as source
    cross join labels
{%- endmacro %}
