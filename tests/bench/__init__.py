"""
Benchmarks of the service, run by `nox -s bench` or `PYTHONPATH=tests python -m bench`.

A reference, where there is one, is a named server measured on the same machine, in the same run, by the same client.
"""
