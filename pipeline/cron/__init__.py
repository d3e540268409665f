"""Cron expressions, and the schedule in a crontab."""
