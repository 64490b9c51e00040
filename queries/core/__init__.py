"""What all questions share: streams, instants, rows, certainty, proof."""
