"""
Faults of system calls, disks, networks and servers, and the operations that must withstand them.
"""
