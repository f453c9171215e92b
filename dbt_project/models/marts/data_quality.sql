-- One row per check and what it looks at, as of the newest run; and one that sums all of them up.
{% set titles = [
    ('last_load_hours', 'Часов с последнего чтения', 26, 'Списки читаются каждым запуском, некоторые раз в сутки.'),
    ('list_not_read', 'Список не прочитан', none, 'Последний запуск не смог прочитать список: нет права или тарифа.'),
    ('ids_not_equal', 'Расхождений с порталом', 0, 'Сколько id портала и хранилища разошлись при последней сверке.'),
    ('last_proof_hours', 'Часов с последнего доказательства', none, 'Когда id портала и хранилища в последний раз совпали все до одного.'),
    ('deleted_share', 'Доля удалённого', 0.05, 'Доля строк, удалённых на портале за сутки; до 20 строк не в счёт.'),
    ('details_not_read', 'Ждут чтения', 0, 'Сколько владельцев товарных позиций, историй и чатов ещё не прочитано; читаются следующими запусками.'),
    ('source_rows', 'Строк загружено', none, 'Сколько неудалённых строк в хранилище.'),
    ('input_file_refused', 'Файл не принят', 0, 'Файл не подошёл и отложен; действуют строки последней годной версии.'),
    ('input_file_rows', 'Строк из файла', none, 'Сколько строк файла действует.'),
    ('schema_changes', 'Изменений полей за сутки', none, 'Что сделали с пользовательскими полями на портале.'),
    ('unmapped_channel_share', 'Доля лидов вне карты каналов', var('unmapped_warn_share'), 'Лиды 30 дней с источником, для которого нет правила; добавьте правила в channel_map.'),
    ('unknown_channel_share', 'Доля лидов без источника', none, 'Лиды 30 дней, у которых не указан ни источник, ни метка.'),
    ('unknown_client_share', 'Доля сделок без клиента', 0.10, 'У сделки нет ни компании, ни контакта: её нет в анализе клиентов.'),
    ('no_history_share', 'Доля сделок без истории стадий', 0.10, 'Портал не отдал историю: переходы таких сделок неизвестны.'),
    ('unknown_stage_rows', 'Пребываний в неизвестных стадиях', none, 'Стадию удалили до первой загрузки; в воронке таких пребываний нет.'),
    ('fx_approximate_share', 'Доля сделок по приближённому курсу', 0.10, 'Сделки в валюте, закрытые раньше первого известного курса.'),
    ('currency_unknown', 'Сумм без курса', 0, 'Валюты нет в справочнике портала; добавьте курс в fx_rates_manual.'),
    ('amount_out_of_range', 'Сумм не по размеру', 0, 'В поле суммы не сумма, например телефон; она считается пустой.'),
    ('product_rows_difference_share', 'Доля сделок с иной суммой товаров', none, 'Сумма товарных позиций выигранной сделки не равна сумме сделки.'),
    ('repeat_flag_difference_share', 'Доля расхождений с признаком повторной сделки', none, 'Повторная продажа по истории покупок и признак портала не совпали.'),
    ('cost_missing_share', 'Доля выручки без себестоимости', none, 'Выручка по товарам, у которых нет закупочной цены.'),
] -%}
with measured as (
    select check_name, subject, cast(value as double) as value, is_excused, note
    from {{ ref('int_quality__loads') }}
    union all
    select check_name, subject, cast(value as double) as value, false as is_excused, cast(null as varchar) as note
    from {{ ref('int_quality__facts') }}
),

checks as (
    {% for name, title, threshold, explanation in titles -%}
    select
        '{{ name }}' as check_name,
        '{{ title }}' as check_title,
        cast({{ 'null' if threshold is none else threshold }} as double) as threshold,
        '{{ explanation }}' as explanation
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

names as (
    {% for subject, name in {
        'leads': 'Лиды', 'deals': 'Сделки', 'contacts': 'Контакты', 'companies': 'Компании', 'quotes': 'Предложения',
        'smart_invoices': 'Счета', 'process_items': 'Смарт-процессы', 'process_types': 'Виды смарт-процессов',
        'deal_stage_history': 'История сделок', 'lead_stage_history': 'История лидов',
        'smart_invoice_stage_history': 'История счетов', 'process_stage_history': 'История смарт-процессов',
        'deal_contacts': 'Контакты сделок', 'contact_companies': 'Компании контактов', 'activities': 'Дела',
        'calls': 'Звонки', 'tasks': 'Задачи', 'task_history': 'История задач', 'time_entries': 'Учёт времени',
        'payments': 'Оплаты', 'order_entities': 'Заказы', 'products': 'Товары', 'product_prices': 'Цены',
        'product_sections': 'Разделы каталога', 'catalogs': 'Каталоги', 'product_rows': 'Товарные позиции',
        'requisites': 'Реквизиты', 'addresses': 'Адреса', 'users': 'Сотрудники', 'departments': 'Отделы',
        'workgroups': 'Проекты и группы', 'pipelines': 'Воронки', 'statuses': 'Справочники CRM',
        'currencies': 'Валюты', 'currency_rates': 'Курсы валют', 'custom_fields': 'Пользовательские поля',
        'custom_field_options': 'Варианты списков', 'openline_configs': 'Открытые линии',
        'openline_sessions': 'Чаты открытых линий', 'calendar_events': 'События календаря',
        'work_time_records': 'Рабочее время', 'product_rows/D': 'Товары сделок', 'product_rows/L': 'Товары лидов',
        'product_rows/Q': 'Товары предложений', 'product_rows/SI': 'Товары счетов', 'CRM_DEAL': 'Поля сделок',
        'CRM_LEAD': 'Поля лидов', 'CRM_CONTACT': 'Поля контактов', 'CRM_COMPANY': 'Поля компаний',
    }.items() -%}
    select '{{ subject }}' as subject, '{{ name }}' as name_ru {{ 'union all' if not loop.last }}
    {% endfor %}
),

judged as (
    select
        checks.check_name,
        checks.check_title,
        measured.subject,
        coalesce(names.name_ru, measured.subject) as subject_name,
        measured.value,
        checks.threshold,
        coalesce(measured.value <= checks.threshold or measured.is_excused, true) as is_ok,
        checks.explanation || coalesce(' ' || measured.note, '') as explanation
    from measured
    inner join checks on checks.check_name = measured.check_name
    left join names on names.subject = measured.subject
),

summed_up as (
    select * from judged

    union all

    select
        'overall',
        'Замечаний к данным',
        'all',
        'Все проверки',
        count(case when not is_ok then 1 end),
        0,
        count(case when not is_ok then 1 end) = 0,
        'Сколько проверок вышло за порог.'
    from judged
)

select
    check_name,
    check_title,
    subject,
    subject_name,
    value,
    threshold,
    is_ok,
    explanation,
    {{ as_of_date() }} as checked_date,
    {{ as_of() }} as checked_at

from summed_up
