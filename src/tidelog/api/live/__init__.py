"""Live streams: what is committed and journaled from now on, or from where a client was, over SSE and WebSocket."""
