"""The benchmark suite of the planner: instances, other balancers and exact models, named cases with their goals, a runner.

`python -m tests.bench --list` names the cases. Nothing here is imported by the product.
"""
