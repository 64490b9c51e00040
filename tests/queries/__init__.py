"""The questions, over trails that were really ingested and replayed."""
