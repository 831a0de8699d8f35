"""Room 10, plugin: the only room that knows napari and Qt."""
