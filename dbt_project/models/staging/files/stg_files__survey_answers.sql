-- One row per line of survey_answers.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'survey_answers') }}
)

select
    {{ to_int('row_number') }} as line_number,
    {{ to_instant('answered_at') }} as answered_at,
    {{ to_tag('survey') }} as survey,
    {{ to_int('score') }} as score,
    {{ to_text('ticket_id') }} as ticket_id,
    {{ to_id('deal_id') }} as deal_id,
    {{ to_text('client_key') }} as client_key,
    {{ to_id('manager_key') }} as manager_key,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
