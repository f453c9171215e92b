{# The values of a group one after another, nulls passed over, as one text: "a > b > c". #}
{% macro path_of(value, order_by) -%} string_agg({{ value }}, ' > ' order by {{ order_by }}) {%- endmacro %}
