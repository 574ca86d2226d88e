"""Object stores with conditional writes: one small port, and its adapters."""
