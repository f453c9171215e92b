{# Every raw column is text as the portal sent it; these turn its many kinds of "nothing" into null. #}

{# A whole number. '', 'null', 'false', '{}', '[]' are no numbers and become null. #}
{% macro to_int(text) -%} try_cast({{ text }} as bigint) {%- endmacro %}

{# A reference: 0 means "not set", and no id is below it. #}
{% macro to_id(text) -%} nullif(greatest(try_cast({{ text }} as bigint), 0), 0) {%- endmacro %}

{% macro to_flag(text) -%} coalesce(lower(trim({{ text }})) in ('y', 'true', '1'), false) {%- endmacro %}

{# Text without the ways to say nothing. #}
{% macro to_text(text) -%} nullif(trim({{ text }}), '') {%- endmacro %}

{# A code of a dictionary: here the words of JSON mean nothing too. #}
{% macro to_code(text) -%}
    case when trim({{ text }}) not in ('', 'null', 'false', '{}', '[]') then trim({{ text }}) end
{%- endmacro %}

{# Currency codes in upper case; telephony still writes RUR. #}
{% macro to_currency(text) -%}
    case
        when upper(trim({{ text }})) = 'RUR' then 'RUB'
        when length(trim({{ text }})) = 3 then upper(trim({{ text }}))
    end
{%- endmacro %}

{# A decimal; null where the text is none or does not fit. Few amounts need more than 18 digits, and reading a text as 38
   of them takes a hundred times as long. #}
{% macro to_decimal(text, width, scale) -%}
    coalesce(
        try_cast(try_cast({{ text }} as decimal(18, 8)) as decimal({{ width }}, {{ scale }})),
        try_cast(try_cast({{ text }} as decimal(38, 8)) as decimal({{ width }}, {{ scale }}))
    )
{%- endmacro %}

{# Money, two digits; an amount that does not fit, such as a phone number typed there, is null. #}
{% macro to_money(text) -%} {{ to_decimal(text, 18, 2) }} {%- endmacro %}

{# An instant: ISO 8601 with its offset; without one it is read in the reporting zone. The first line spares nearly all
   texts the regular expression. #}
{% macro to_instant(text) -%}
    case
        when {{ text }} like '____-__-__T__:__:__+__:__' then try_cast({{ text }} as timestamptz)
        when regexp_matches({{ text }}, ':[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$')
            then try_cast({{ text }} as timestamptz)
        else {{ local_midnight('try_cast(' ~ text ~ ' as timestamp)') }}
    end
{%- endmacro %}

{# A calendar date that REST prints with an hour: its first ten characters, never shifted. #}
{% macro to_calendar_date(text) -%}
    coalesce(
        try_cast(left({{ text }}, 10) as date),
        cast(try_strptime(left({{ text }}, 10), '%d.%m.%Y') as date)
    )
{%- endmacro %}

{# UTM tags and their like are compared in lower case, without white space of any kind around them. #}
{% macro to_tag(text) -%}
    nullif(lower(trim({{ text }}, ' ' || chr(9) || chr(10) || chr(13) || chr(160))), '')
{%- endmacro %}

{# Value at a JSON path as text; null where the text is no JSON. #}
{% macro json_text(json, path) -%}
    case when json_valid({{ json }}) then json_extract_string({{ json }}, {{ literal(path) }}) end
{%- endmacro %}

{# The elements of a JSON array as a list of texts, for unnest in intermediate models; a lone value is a list of one. #}
{% macro json_elements(json) -%}
    case
        when not json_valid({{ json }}) then cast([] as varchar[])
        when json_type({{ json }}) = 'ARRAY' then from_json({{ json }}, '["VARCHAR"]')
        when json_type({{ json }}) in ('NULL', 'BOOLEAN', 'OBJECT') then cast([] as varchar[])
        else [json_extract_string({{ json }}, '$')]
    end
{%- endmacro %}

{# A phone number's last ten digits, hashed: numbers of one client meet, and no table of BI holds one. What the
   extraction has hashed already (PERSONAL_DATA=hash) stays as it is. #}
{% macro phone_hash(phone) -%}
    case
        when regexp_full_match({{ phone }}, '[0-9a-f]{32}') then {{ phone }}
        else md5(nullif(right(regexp_replace({{ phone }}, '[^0-9]', '', 'g'), 10), ''))
    end
{%- endmacro %}

{# An e-mail address, lower-cased and hashed; a hash of the extraction as above. #}
{% macro email_hash(email) -%}
    case
        when regexp_full_match({{ email }}, '[0-9a-f]{32}') then {{ email }}
        else md5({{ to_tag(email) }})
    end
{%- endmacro %}
