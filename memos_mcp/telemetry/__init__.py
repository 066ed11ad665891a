"""What an operator can see of a running server: metrics, traces and logs. Nothing of it has content."""
