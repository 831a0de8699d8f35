"""Room 7, prediction: any callable and a source in, arrays out."""
