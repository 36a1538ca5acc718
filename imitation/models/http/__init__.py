"""What clients of model servers share: connections, streams, retries, errors."""
