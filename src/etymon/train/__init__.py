"""Training: one loop over packed rows, whatever the objective.

Read in this order: ``stage`` (what decides a training), ``build`` (how its artifact is filled), ``prepare`` (examples, plan),
``trainee`` (the network and its optimizer), ``doctor`` (what is refused before step 0), ``loop``, ``step``, ``objectives``,
``packed``; then ``checkpoint``, ``parallel``, ``save``.
"""
