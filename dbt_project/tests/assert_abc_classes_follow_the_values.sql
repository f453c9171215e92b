-- The curve ends at 1, class A holds its share, equal values share a class, and no smaller client has a better class (C17).
with clients as (
    select * from {{ ref('client_abc') }} where basis_value > 0
),

months as (
    select
        as_of_month,
        max(cum_share) as curve_end,
        sum(basis_value) as total_value,
        sum(case when abc_class = 'A' then basis_value else 0 end) as value_of_a
    from clients
    group by as_of_month
),

steps as (
    select
        as_of_month,
        client_key,
        basis_value,
        abc_class,
        lag(basis_value) over (partition by as_of_month order by basis_value desc, client_key) as greater_value,
        lag(abc_class) over (partition by as_of_month order by basis_value desc, client_key) as greater_class
    from clients
)

select as_of_month, 'curve' as what
from months
where
    curve_end <> 1
    {%- if var('abc_method') == 'cumulative' %}
    or value_of_a < cast({{ var('abc_a') }} as decimal(5, 4)) * total_value
    {%- endif %}

union all

select as_of_month, client_key as what
from steps
where
    greater_class > abc_class
    {%- if var('abc_method') == 'cumulative' %}
    or (greater_value = basis_value and greater_class <> abc_class)
    {%- endif %}
