"""What a user would write or pick instead: a plain kombu worker, Celery, Node."""
