"""What happens to measurements on their way: clocks, triggers, transport, faults."""
