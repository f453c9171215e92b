"""A company without leads and without a single input file: everything still builds, and what is there is right."""

from datetime import datetime

from pipeline.calculator import calculate
from pipeline.compare import PRIMARY_KEYS, compare
from pipeline.rehearsal import rehearsal
from pipeline.test_marts import MARTS

SIMPLE = 2  # crm.settings.mode.get: deals only
EMPTY = {"sales_plan_fact", "campaign_engagement", "service_quality", "lead_statistics"}


def test_without_leads_and_files_every_mart_is_right() -> None:
    """A mart whose second source is absent must say so, not stop the others."""
    with rehearsal(seed=29, deals=150, crm_mode=SIMPLE, settings={"INPUTS_PATH": "no-files"}) as rehearsed:
        as_of = rehearsed.sync()["as_of"]
        marts, truth = rehearsed.marts(), rehearsed.portal.truth()
        seen = {table: [] if table.startswith("lead") else rows for table, rows in truth.items()}
        answers = calculate(
            seen,
            ad_spend=[],
            sales_plan=[],
            as_of=datetime.fromisoformat(as_of),
            rate_history=rehearsed.rate_history,
            product_history=rehearsed.product_history,
        )
    differences = [
        difference for mart in MARTS for difference in compare(mart, PRIMARY_KEYS[mart], answers[mart], marts[mart])
    ]
    assert not differences, "\n".join(differences)
    assert {mart for mart in MARTS if not marts[mart]} == EMPTY
