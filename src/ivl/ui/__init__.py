"""The web page: chat with a model about pictures, in a browser."""
