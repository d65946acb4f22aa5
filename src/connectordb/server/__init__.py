"""The HTTP server: decode, call the core, encode. No rule, no SQL."""
