"""Room 1, sources: on disk or remote in, lazy arrays and records out.

``arrays`` are files as they lie there; ``labels`` belong to them on the same grid; `segment` joins the two, and `open`
finds both. ``lines`` and ``photos`` are the other things that are read. ``pyramids`` and ``index`` are what we write,
``synthetic`` what we make up. `location` is where anything is, and ``remote`` what lies on servers.
"""
