"""
Migrations of the schema, one module a step.
"""
