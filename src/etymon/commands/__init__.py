"""What commands do besides the main job: each module is called by one group of `cli`, and rests on `run` and below."""
