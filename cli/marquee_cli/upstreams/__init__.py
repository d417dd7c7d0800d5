"""Stand-ins of TMDB, X, Bluesky, Mastodon and OpenAI on loopback, for whoever has no keys."""
