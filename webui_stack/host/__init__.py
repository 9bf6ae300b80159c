"""The program that runs on a host: it observes the host, changes it step by step, and survives a crash.

Standard library only, Python 3.9 or newer. It is sent to a host as a folder, and imports nothing of the project but
itself. The operator's side imports `protocol`. Its `lease` imports `errors`, `holder` and `lease` as well, because both
ends name a lease's holder in one form.
"""
