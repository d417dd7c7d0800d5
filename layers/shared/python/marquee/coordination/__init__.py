"""What stands above the workflows and below the API: the tables' outbox."""
