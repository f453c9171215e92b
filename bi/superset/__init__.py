"""Superset: dashboards as code."""
