"""How Celery is set up; each choice was made by experiment and is explained in docs/decisions/0006-workers.md.

A message is a nudge: "look at this org". It is acknowledged when it is taken, because what is due is
read from the store and a lost nudge is sent again by the next tick.
"""

from sfsync.settings import load

_settings = load()

broker_url = _settings.broker.url
broker_connection_retry_on_startup = True
broker_transport_options = {
    "visibility_timeout": _settings.broker.visibility_seconds,
    "socket_timeout": 15,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # Sweeps before nightly work: the broker hands out the most urgent queue first.
    "queue_order_strategy": "priority",
    "priority_steps": [0, 3, 6, 9],
}
result_backend = None
task_ignore_result = True
task_store_errors_even_if_ignored = False
task_serializer = "json"
accept_content = ["json"]
enable_utc = True
timezone = "UTC"

task_acks_late = False
worker_prefetch_multiplier = 1
task_soft_time_limit = 840
task_time_limit = 900
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}
worker_cancel_long_running_tasks_on_connection_loss = False
worker_soft_shutdown_timeout = 30.0
worker_max_tasks_per_child = 500
worker_max_memory_per_child = 400_000
worker_hijack_root_logger = False
worker_send_task_events = False
worker_enable_remote_control = False

task_default_queue = "sfsync"
task_routes = {
    "sfsync.tick": {"queue": "sfsync.urgent"},
    "sfsync.sweep": {"queue": "sfsync.urgent"},
    "sfsync.sync": {"queue": "sfsync"},
    "sfsync.check": {"queue": "sfsync"},
}
imports = ("tasks.sync", "tasks.sweep")
beat_schedule = {
    "tick": {"task": "sfsync.tick", "schedule": float(_settings.schedule.beat_seconds), "options": {"expires": 60}},
    "sweep": {"task": "sfsync.sweep", "schedule": float(_settings.schedule.beat_seconds), "options": {"expires": 60}},
}
beat_schedule_filename = str(_settings.data_dir / "beat")
