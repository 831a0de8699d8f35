"""Learning from photographs: what marks a pixel, what tags a picture, and encoders that need neither."""
