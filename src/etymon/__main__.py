"""``python -m etymon``, and what ``torchrun -m etymon`` starts on every rank."""

from etymon.cli import main

main()
