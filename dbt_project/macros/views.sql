{# A view is replaced in one statement: dbt's own way creates it beside the old one, renames both and drops the old one. #}
{% materialization view, adapter='duckdb' -%}
    {%- set built = create_or_replace_view() -%}
    {%- do adapter.commit() -%}
    {{ return(built) }}
{%- endmaterialization %}

{% macro duckdb__create_view_as(relation, sql) -%}
    create or replace view {{ relation }} as (
        {{ sql }}
    );
{%- endmacro %}
