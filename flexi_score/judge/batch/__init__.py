"""The Batch API: submit, leave, come back, collect."""
