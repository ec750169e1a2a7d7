"""What commands do besides the main job, each under its own name; ``cli`` calls them, and they rest on ``run`` and below."""
