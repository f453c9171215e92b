-- One row per deal and lead whose custom field of var loss_reason_field is filled; none without that var.
{% set entities = [('deal', 'CRM_DEAL', 'deals'), ('lead', 'CRM_LEAD', 'leads')] -%}
{% set found = namespace(fields=[]) -%}
{% if var('loss_reason_field') -%}
    {% for entity, portal_entity, table in entities -%}
        {% for field in custom_fields(portal_entity, table)
            if field.field_code | upper == var('loss_reason_field') | upper -%}
            {% do found.fields.append((entity, portal_entity, table, field)) -%}
        {% endfor -%}
    {% endfor -%}
    {% if execute and not found.fields -%}
        {{ exceptions.raise_compiler_error(
            "var 'loss_reason_field' is '" ~ var('loss_reason_field') ~ "', but no deal and no lead has a field of"
            ~ " that code. Take one from ops.custom_field_names, such as UF_CRM_1717100010."
        ) }}
    {% endif -%}
{% endif -%}
{% for entity, portal_entity, table, field in found.fields -%}
select
    '{{ entity }}' as entity,
    {{ to_id('source.id') }} as entity_id,
    cast({{ custom_field_value(field) }} as varchar) as loss_reason
from {{ source('bitrix24', table) }} as source
cross join ({{ custom_field_labels(portal_entity, [field]) }}) as labels
where {{ custom_field_value(field) }} is not null

union all

{% endfor -%}
select cast(null as varchar) as entity, cast(null as bigint) as entity_id, cast(null as varchar) as loss_reason
where false

-- depends_on: {{ ref('stg_bitrix24__custom_field_options') }}, {{ ref('stg_bitrix24__statuses') }}
-- depends_on: {{ ref('dim_manager') }}
-- depends_on: {{ source('bitrix24', 'deals') }}, {{ source('bitrix24', 'leads') }}
-- depends_on: {{ source('bitrix24', 'custom_fields') }}, {{ source('ops', 'custom_field_names') }}
