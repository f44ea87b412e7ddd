"""Floor 2: Celery supervises training as child processes; job records and events in Redis."""
