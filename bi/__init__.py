"""What reads the marts: one dictionary of their columns and metrics, and what is generated from it for BI tools."""
