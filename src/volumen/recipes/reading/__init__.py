"""Reading: recogniser of text lines pretrained, taught to read, and read with."""
