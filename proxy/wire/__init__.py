"""Where text lives in each API's bodies and events, and how to put it back."""
