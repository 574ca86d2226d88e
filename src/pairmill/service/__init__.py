"""What users see of a run: progress, logs, status, estimates."""
