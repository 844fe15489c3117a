"""What only readers and teachers need: pictures of the axes."""
