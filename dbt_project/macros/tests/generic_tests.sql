{# The columns together are the key: never null, never twice. #}
{% test primary_key(model, columns) %}
select {{ columns | join(', ') }}, count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1 {% for column in columns %} or {{ column }} is null {% endfor %}
{% endtest %}

{# Each key finds its dimension row. keys: {column: {to: ref(...), field: name}}; nulls are another test's matter. #}
{% test keys_are_known(model, keys) %}
{% for column, target in keys.items() %}
select '{{ column }}' as key_name, cast(child.{{ column }} as varchar) as key_value, count(*) as row_count
from {{ model }} as child
left join {{ target.to }} as parent on parent.{{ target.field | default(column) }} = child.{{ column }}
where child.{{ column }} is not null and parent.{{ target.field | default(column) }} is null
group by child.{{ column }}
{{ "union all" if not loop.last }}
{% endfor %}
{% endtest %}

{# No column of the list is ever null. #}
{% test never_null(model, columns) %}
select *
from {{ model }}
where {% for column in columns %}{{ column }} is null{{ " or " if not loop.last }}{% endfor %}
{% endtest %}

{# The expression is true in every row; null counts as false. #}
{% test holds(model, expression) %}
select * from {{ model }} where not coalesce({{ expression }}, false)
{% endtest %}

{# Shares lie between 0 and 1 or are null. #}
{% test shares_are_bounded(model, columns) %}
select *
from {{ model }}
where {% for column in columns %}{{ column }} not between 0 and 1{{ " or " if not loop.last }}{% endfor %}
{% endtest %}
