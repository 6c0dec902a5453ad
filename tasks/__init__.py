"""Celery tasks: each body asks the runtime for one thing."""
