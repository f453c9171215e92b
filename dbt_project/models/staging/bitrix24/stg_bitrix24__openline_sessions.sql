-- One row per message of a session of an open line, without its text. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'openline_sessions') }}
)

select
    {{ to_id('session_id') }} as session_id,
    {{ to_id('message_id') }} as message_id,
    {{ to_id('chat_id') }} as chat_id,
    {{ to_id('activity_id') }} as activity_id,
    {{ to_id('sender_id') }} as sender_id,
    {{ to_flag('is_client') }} as is_client,
    {{ to_flag('is_bot') }} as is_bot,
    {{ to_instant('sent_at') }} as sent_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
