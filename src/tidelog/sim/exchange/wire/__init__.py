"""The exchange on a socket, or on a port inside the process."""
