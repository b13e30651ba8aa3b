"""
One Falcon resource a noun; its responders parse requests, call use cases and render results.
"""
