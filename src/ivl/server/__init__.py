"""An OpenAI-compatible HTTP server over one pipeline. Needs the extra `server`."""
