-- One row per day from 2015 to two years after as_of.
with days as (
    {{ date_spine("cast('2015-01-01' as date)", shift_date('year', 2, as_of_date())) }}
),

given as (
    select * from {{ ref('stg_files__holidays') }}
),

-- a day of the file replaces that of the seed
holidays as (
    select date, is_workday from given
    union all
    select shipped.date, shipped.is_workday
    from {{ ref('holidays') }} as shipped
    left join given on given.date = shipped.date
    where given.date is null
),

calendar as (
    select
        days.date_day,
        cast(extract(isodow from days.date_day) as bigint) as weekday_num,
        coalesce(holidays.is_workday, extract(isodow from days.date_day) <= 5) as is_workday

    from days
    left join holidays on holidays.date = days.date_day
)

select
    date_day,
    cast({{ dbt.date_trunc('week', 'date_day') }} as date) as week_start,
    cast(extract(isoyear from date_day) as bigint) as iso_year,
    cast(extract(week from date_day) as bigint) as iso_week,
    {{ month_of('date_day') }} as month_start,
    cast({{ dbt.date_trunc('quarter', 'date_day') }} as date) as quarter_start,
    cast(extract(year from date_day) as bigint) as year,
    cast(extract(month from date_day) as bigint) as month_num,
    case extract(month from date_day)
        when 1 then 'январь' when 2 then 'февраль' when 3 then 'март' when 4 then 'апрель'
        when 5 then 'май' when 6 then 'июнь' when 7 then 'июль' when 8 then 'август'
        when 9 then 'сентябрь' when 10 then 'октябрь' when 11 then 'ноябрь' when 12 then 'декабрь'
    end as month_name_ru,
    weekday_num,
    case weekday_num
        when 1 then 'понедельник' when 2 then 'вторник' when 3 then 'среда' when 4 then 'четверг'
        when 5 then 'пятница' when 6 then 'суббота' when 7 then 'воскресенье'
    end as weekday_ru,
    is_workday,
    cast(
        sum(case when is_workday then 1 else 0 end) over (
            partition by {{ month_of('date_day') }}
            order by date_day
            rows between unbounded preceding and current row
        ) as bigint
    ) as workday_of_month,
    {{ shift_date('year', -1, 'date_day') }} as same_day_prev_year

from calendar
