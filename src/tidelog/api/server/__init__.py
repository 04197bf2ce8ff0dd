"""The server around the application: connections, TLS, admission, compression, its start and end."""
