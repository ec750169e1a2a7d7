"""What ``run`` works with: the job and its lines, the trainings a recipe asks for, board entries, the record of a run."""
