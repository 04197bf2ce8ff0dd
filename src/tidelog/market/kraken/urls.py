"""Where Kraken is reached. Text alone: a help text shows it, and imports nothing else for that."""

PUBLIC_URLS = {"v1": "wss://ws.kraken.com", "v2": "wss://ws.kraken.com/v2"}
PRIVATE_URLS = {"v1": "wss://ws-auth.kraken.com", "v2": "wss://ws-auth.kraken.com/v2"}
REST_URL = "https://api.kraken.com"
