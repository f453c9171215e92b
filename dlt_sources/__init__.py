"""Extraction: APIs and files to raw tables."""

import os

# dlt reads it when a pipeline is made
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
