"""What people watch: progress, logs, status."""
