"""What DAGs, workers and the command line share: settings, warehouse access, ingestion, local stack."""
