-- C9: on every stage the conversion funnel is the classic one plus the deals that skipped the stage.
select
    conversion.*,
    classic.deals_entered as classic_deals_entered

from {{ ref('funnel_stage_conversion') }} as conversion
left join {{ ref('funnel_stage_conversion') }} as classic
    on
        classic.funnel_type = 'classic'
        and classic.pipeline_key = conversion.pipeline_key
        and classic.cohort_month = conversion.cohort_month
        and classic.manager_key = conversion.manager_key
        and classic.channel_key = conversion.channel_key
        and classic.stage_position = conversion.stage_position
where
    conversion.funnel_type = 'conversion'
    and (classic.deals_entered + classic.deals_skipped = conversion.deals_entered) is not true
