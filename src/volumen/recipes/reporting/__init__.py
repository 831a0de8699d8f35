"""The parts of a report: what it shows, in words, tables and pictures, and the page that holds them."""
