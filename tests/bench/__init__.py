"""
Benchmarks: the figures of the service by one command, `nox -s bench` or `PYTHONPATH=tests python -m bench`.

Where there is a reference it is a named one, on the same machine, in the same run, by the same client.
"""
