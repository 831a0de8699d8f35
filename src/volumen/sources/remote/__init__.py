"""The only room with a network of its own: what is fetched from servers, and kept on disk."""
