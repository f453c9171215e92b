{# Stops the compilation when a var holds a value that is specified but not built. Renders nothing. #}
{% macro only_supported(name, values) %}
    {%- if var(name) not in values -%}
        {{ exceptions.raise_compiler_error(
            "var '" ~ name ~ "' is '" ~ var(name) ~ "', but only " ~ values | join(', ') | replace('None', 'null')
            ~ " is built. Remove it from --vars or set it to a value that is built."
        ) }}
    {%- endif -%}
{% endmacro %}

{# Text as a SQL literal. #}
{% macro literal(value) -%} '{{ value | string | replace("'", "''") }}' {%- endmacro %}

{# True where the value is in a var that holds a list; an empty list holds nothing. #}
{% macro in_var_list(expression, name) -%}
    {%- set values = var(name) -%}
    {%- if values -%}
        coalesce({{ expression }} in (
            {%- for value in values -%}
                {{ literal(value) if value is string else value }}{{ ", " if not loop.last }}
            {%- endfor -%}
        ), false)
    {%- else -%} false {%- endif -%}
{%- endmacro %}

{# True where the title marks a test record; var test_title_regex, searched anywhere, case ignored. The engine's \w and
   \b know Latin letters alone, so they are spelled out, which serves where warehouse/rules.py lets them stand. #}
{% macro is_test_title(title) -%}
    {%- if var('test_title_regex') -%}
        {%- set letters = '\\p{L}\\p{N}_' -%}
        {%- set pattern = var('test_title_regex')
            | replace('\\w', '[' ~ letters ~ ']')
            | replace('\\W', '[^' ~ letters ~ ']')
            | replace('\\b', '(?:^|$|[^' ~ letters ~ '])') -%}
        coalesce(regexp_matches({{ title }}, {{ literal(pattern) }}, 'i'), false)
    {%- else -%} false {%- endif -%}
{%- endmacro %}
