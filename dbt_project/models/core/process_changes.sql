-- One row per change of the way of selling.
select
    changes.line_number as change_id,
    changes.change_date,
    changes.pipeline_key,
    case
        when changes.pipeline_key is null then 'Все воронки'
        else coalesce(pipelines.name, '#' || cast(changes.pipeline_key as varchar))
    end as pipeline_name,
    changes.description,
    changes.loaded_at

from {{ ref('stg_files__process_changes') }} as changes
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = changes.pipeline_key
