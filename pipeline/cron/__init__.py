"""Cron expressions and schedules in the user's crontab."""
