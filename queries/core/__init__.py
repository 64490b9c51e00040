"""What questions share: streams, instants, rows, certainty, proof."""
