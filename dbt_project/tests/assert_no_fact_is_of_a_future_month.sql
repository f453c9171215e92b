-- Reports end with the running month; a later fact is a wrong clock or a typing mistake, and is left out of them (C24).
{{ config(severity='warn') }}
{% for fact, id, day, counted in [
    ('fct_leads', 'lead_id', 'created_date', 'is_in_scope'),
    ('fct_deals', 'deal_id', 'created_date', 'is_in_scope'),
    ('fct_deals', 'deal_id', 'closed_date', 'is_in_scope'),
    ('fct_requests', 'lead_id', 'created_date', 'is_in_scope'),
    ('fct_calls', 'call_id', 'started_date', 'is_in_scope'),
    ('fct_activities', 'activity_id', 'completed_date', 'is_in_scope'),
    ('fct_tasks', 'task_id', 'closed_date', 'is_in_scope and is_done'),
    ('fct_time_entries', 'entry_id', 'started_date', 'is_in_scope'),
    ('fct_deal_stage_history', 'interval_id', 'entered_date', 'is_in_scope'),
    ('fct_invoices', 'invoice_id', 'created_date', 'is_in_scope'),
    ('fct_invoices', 'invoice_id', 'paid_date', 'is_in_scope'),
    ('fct_payments', 'payment_id', 'paid_date', 'is_in_scope'),
    ('fct_process_items', 'item_id', 'created_date', 'is_in_scope'),
    ('fct_process_stage_history', 'interval_id', 'entered_date', 'is_in_scope'),
    ('fct_support_tickets', 'item_id', 'created_date', 'is_in_scope'),
    ('fct_survey_answers', 'deal_id', 'answered_date', 'true'),
    ('fct_campaign_messages', 'null', 'send_date', 'true'),
    ('fct_web_sessions', 'null', 'visit_date', 'true'),
] -%}
select '{{ fact }}' as fact, {{ id }} as fact_id from {{ ref(fact) }}
where {{ counted }} and {{ month_of(day) }} > {{ month_of(as_of_date()) }}
{{ 'union all' if not loop.last }}
{% endfor %}
