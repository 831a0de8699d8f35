"""Room 9, recipes: rooms joined into the verbs that people, scripts and widgets call."""
