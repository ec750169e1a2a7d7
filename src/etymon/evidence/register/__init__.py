"""The organisation's model register: which models there are, what was decided about them, by whom, on which evidence."""
