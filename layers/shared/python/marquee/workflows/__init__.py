"""Executions as users see them: their record, their steps, how they start, join and end."""
