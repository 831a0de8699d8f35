"""volumen: from a scanned volume to text, with few labels."""
